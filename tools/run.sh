#!/usr/bin/env bash
# Run a command of the project's environment with its settings: tools/run.sh aiida-limsm doctor
set -euo pipefail
# shellcheck source=tools/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

export PATH=$venv/bin:$PATH
# for the hints of the commands: what a user of this checkout has to type
export LIMSM_RUN="tools/run.sh "
exec "$@"
