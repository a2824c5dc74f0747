#!/usr/bin/env bash
# One benchmark, one command: benchmarks/run.sh NAME [options]; without a name, the list.
set -euo pipefail
# shellcheck source=../tools/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/../tools/common.sh"

# CPU seconds are compared: one thread each, ours and the peers'.
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 NUMBA_NUM_THREADS=1

name=${1:-}
if [[ ! -f $root/benchmarks/$name.py ]]; then
    echo "usage: benchmarks/run.sh NAME [options], NAME one of:"
    sed -n 's/^| `\(benchmarks\/run.sh [^`]*\)` |\(.*\)|$/  \1 \2/p' "$root/benchmarks/README.md"
    exit 2
fi
[[ -x $venv/bin/limsm ]] || "$root/tools/setup.sh" runtime

if [[ $name == speed ]]; then
    wanted=$root/benchmarks/peers/requirements.txt
    peers=$state/peers
    if ! cmp -s "$wanted" "$peers/installed.txt"; then
        echo "installing the peers into ${peers#"$root"/}" >&2
        [[ -x $peers/bin/python ]] || "$venv/bin/python" -m venv "$peers"
        "$peers/bin/python" -m pip install --quiet -r "$wanted" || die "the peers cannot be installed"
        cp "$wanted" "$peers/installed.txt"
    fi
fi
exec "$venv/bin/python" "$root/benchmarks/$name.py" "${@:2}"
