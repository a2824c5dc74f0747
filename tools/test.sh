#!/usr/bin/env bash
# The checks: tools/test.sh [lint|fast|all]; more pytest arguments in PYTEST_ARGS.
set -euo pipefail
# shellcheck source=tools/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

cd "$root"
export PATH=$venv/bin:$PATH
# The tests have an AiiDA folder of their own: neither ~/.aiida nor the demo's profile is touched.
export AIIDA_PATH=$state/test-aiida
mkdir -p "$AIIDA_PATH"
# Two workers on two cores: a thread pool each would make every one slower.
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1
read -r -a more <<<"${PYTEST_ARGS:-}"

lint() {
    ruff check .
    ruff format --check .
    mypy
    lint-imports
}

run_pytest() { # exit code 5 means that no test was selected: fine for an empty group, and said
    local code=0
    python -m pytest "$@" ${more[@]+"${more[@]}"} || code=$?
    if [[ $code == 5 ]]; then
        echo "no test in the group: $*"
        return 0
    fi
    return "$code"
}

fast="not slow and not hpc and not web"
case ${1:-all} in
    lint) lint ;;
    fast) run_pytest -n 2 -m "$fast" ;;
    all)
        lint
        # The slow ones run pw.x, trainings and daemons: one at a time, or they starve each other.
        run_pytest -m "slow or hpc or web"
        # Last, because a green run must end on a group that cannot be empty.
        python -m pytest -n 2 -m "$fast" ${more[@]+"${more[@]}"}
        ;;
    *) die "usage: tools/test.sh [lint|fast|all]" ;;
esac
