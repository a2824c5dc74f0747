#!/usr/bin/env bash
# Stop this checkout's daemon, then remove what the set-up and the tools made.
set -euo pipefail
# shellcheck source=tools/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# A daemon whose files vanish keeps running: stop it first, and stop here if that fails.
if [[ -x $venv/bin/verdi && -f $state/aiida/.aiida/config.json ]]; then
    for profile in $("$venv/bin/python" -c 'import json, sys; print(*json.load(open(sys.argv[1]))["profiles"])' \
        "$state/aiida/.aiida/config.json"); do
        "$venv/bin/verdi" -p "$profile" daemon stop --timeout 60 >>"$log" 2>&1 ||
            die "the daemon of profile $profile did not stop: try again, or end its process"
    done
fi
rm -rf "$state" "$venv" "$root"/*.egg-info "$root"/.{pytest,mypy,ruff,import_linter}_cache "$root/.hypothesis"
find "$root" -name __pycache__ -type d -prune -exec rm -rf {} +
