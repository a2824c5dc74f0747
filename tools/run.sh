#!/usr/bin/env bash
# Run a command of the project's environment with its settings: tools/run.sh aiida-limsm doctor
set -euo pipefail
# shellcheck source=tools/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

export PATH=$venv/bin:$PATH
exec "$@"
