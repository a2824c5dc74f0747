#!/usr/bin/env bash
# Install the project into its own folder: tools/setup.sh [runtime|dev]
#
# Safe to repeat and to interrupt. A stamp holds the hash of what the environment was made from;
# where it fits nothing runs, so that a second call takes a fraction of a second.
#   PYTHON=/path/python3.11   the interpreter to use
#   LIMSM_TORCH_INDEX=URL     index with torch's CPU build (PyTorch's own has one; PyPI's is CUDA's)
set -euo pipefail
# shellcheck source=tools/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

what=${1:-runtime}
case $what in runtime | dev) ;; *) die "usage: tools/setup.sh [runtime|dev]" ;; esac

fingerprint() { # of the declared dependencies, the place and the interpreter; cksum is in POSIX
    {
        cat "$root/setup.cfg" "$root/constraints.txt"
        printf '%s\n' "$root"
        cat "$venv/pyvenv.cfg"
    } 2>/dev/null | cksum
}

is_ready() { # is_ready runtime|dev: the dev environment also serves as the runtime one
    local stamp
    [[ -x $venv/bin/limsm && -x $venv/bin/aiida-limsm && -x $venv/bin/python ]] || return 1
    for stamp in "$1" dev; do
        [[ -f $stamps/$stamp && $(<"$stamps/$stamp") == "$(fingerprint)" ]] && return 0
    done
    return 1
}

venv_is_sound() { # usable, made here (scripts carry their path), and no package left half-installed
    [[ -x $venv/bin/python && -x $venv/bin/pip ]] || return 1
    [[ $(head -n 1 "$venv/bin/pip") == "#!$venv/bin/python"* ]] || return 1
    python_at_least_usable "$venv/bin/python" || return 1
    # pip writes INSTALLER almost last: without it the installation was cut off.
    "$venv/bin/python" -m pip --version >/dev/null 2>&1 && "$venv/bin/python" - <<'PY'
import sys, sysconfig
from pathlib import Path
site = Path(sysconfig.get_path("purelib"))
broken = [d for d in site.glob("*.dist-info") if not (d / "INSTALLER").exists()]
sys.exit(bool(broken or list(site.glob("~*"))))
PY
}

make_venv() {
    if [[ -e $venv ]]; then
        # Remove only what is a virtual environment, or the start of one.
        [[ -f $venv/pyvenv.cfg || ! -d $venv || -z $(ls -A "$venv") || -d $venv/bin ]] || return 1
        rm -rf "$venv"
    fi
    rm -f "$stamps/runtime" "$stamps/dev"
    "$1" -m venv "$venv"
}

# --no-compile: Python compiles what is imported, when it is; all of it would take 25 s more.
pip() { "$venv/bin/python" -m pip install -q --no-compile -c "$root/constraints.txt" "$@"; }

install_torch() {
    local pin
    pin=$(sed -n 's/^torch==\([^ ;]*\).*/\1/p' "$root/constraints.txt")
    if "$venv/bin/python" -c "
import sys
from importlib.metadata import version
sys.exit(version('torch').split('+')[0] != '$pin')" 2>/dev/null; then
        return 0 # the user's own build of the same version, a CUDA one included, stays
    fi
    # First and alone, so that pip never picks torch while resolving the rest: on Linux the plain PyPI
    # wheel is the CUDA build, gigabytes of libraries that a machine without a GPU cannot use.
    if [[ $(uname -s) != Linux ]]; then
        pip "torch==$pin"
    elif [[ -n ${LIMSM_TORCH_INDEX:-} ]]; then
        pip "torch==$pin+cpu" --extra-index-url "$LIMSM_TORCH_INDEX"
    else
        # an index without a CPU build of its own still has a torch that works
        pip "torch==$pin+cpu" || pip "torch==$pin"
    fi
}

install_package() {
    if [[ $what == dev ]]; then pip -e "$root[dev]"; else pip -e "$root"; fi
    "$venv/bin/python" -c 'import aiida_limsm'
}

if ! is_ready "$what"; then
    lock
    : >"$log"
    if ! venv_is_sound; then
        python=$(find_python) || die "no suitable Python found: install Python 3.10 to 3.13 with venv \
(Debian: apt-get install python3-venv), or name one: make setup PYTHON=/path/to/python3.11"
        step "virtual environment ($("$python" -V))" "remove $venv and run it again" make_venv "$python"
    fi
    step "PyTorch" "no torch of the tested version found: name an index that has it with \
LIMSM_TORCH_INDEX=URL" install_torch
    title="aiida-limsm and what it needs"
    [[ $what == runtime ]] || title="$title, with the developers' tools"
    step "$title" "read the log" install_package
    fingerprint >"$stamps/$what.new"
    mv "$stamps/$what.new" "$stamps/$what"
    unlock
fi
"$root/tools/quantum_espresso.sh"
