# shellcheck shell=bash
# Shared by the scripts beside it: paths, environment, one line per step, one line per failure.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
state=$root/.limsm
stamps=$state/stamps
log=$state/setup.log
venv=$root/.venv
mkdir -p "$stamps" "$state/bin" "$state/cache/matplotlib" "$state/cache/numba" "$state/tmp"

# Imports are compiled once and kept in the environment: without that every command starts 2 s later.
unset PYTHONDONTWRITEBYTECODE
# Nothing outside the checkout is written: no pip cache, and the caches of the libraries in .limsm.
export PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_PROGRESS_BAR=off
export PYTHONNOUSERSITE=1
export MPLCONFIGDIR=$state/cache/matplotlib NUMBA_CACHE_DIR=$state/cache/numba XDG_CACHE_HOME=$state/cache
export AIIDA_PATH=${LIMSM_AIIDA_PATH:-$state/aiida}
# A wrapper that the set-up made counts as installed, but a pw.x of the user's own goes first.
[[ $PATH == *":$state/bin" ]] || export PATH=$PATH:$state/bin
# A PYTHONPATH or PYTHONHOME meant for another Python breaks this one's imports.
unset PYTHONPATH PYTHONHOME

die() { # die MESSAGE: one line that says what to do
    printf '%s: %s (log: %s)\n' "$(basename "$0" .sh)" "$1" "${log#"$PWD"/}" >&2
    exit 1
}

remedy() { # remedy DEFAULT: the likely cause, read from the end of the log
    local tail
    tail=$(tail -n 60 "$log")
    case $tail in
        *"No space left"*) echo "the disk is full: make room in $root and run it again" ;;
        *"torch=="*) echo "$1" ;; # its index is another one: the step itself knows the remedy
        *"name resolution"* | *"Max retries"* | *ConnectionError* | *"Read timed out"*)
            echo "the package index did not answer: check the network (or PIP_INDEX_URL) and run it again" ;;
        *"No matching distribution"* | *"Could not find a version"*)
            echo "the package index lacks a tested version: check PIP_INDEX_URL, or use Python 3.11" ;;
        *"Permission denied"*) echo "no permission to write in $root" ;;
        *) echo "$1" ;;
    esac
}

step() { # step TITLE REMEDY COMMAND...: run it into the log, print one line with the time
    local title=$1 fallback=$2 start=$SECONDS
    shift 2
    # Without a terminal the line is printed whole, at the end.
    [[ ! -t 1 ]] || printf '  … %s' "$title"
    printf '\n== %s: %s\n' "$(date '+%F %T')" "$title" >>"$log"
    if "$@" >>"$log" 2>&1 </dev/null; then
        [[ ! -t 1 ]] || printf '\r'
        printf '  ✓ %-52s %4d s\n' "$title" "$((SECONDS - start))"
    else
        [[ ! -t 1 ]] || printf '\r'
        printf '  ✗ %-52s %4d s\n' "$title" "$((SECONDS - start))"
        die "$(remedy "$fallback")"
    fi
}

lock() { # one set-up at a time; a lock whose process is gone is taken over
    local owner
    until mkdir "$state/setup.lock" 2>/dev/null; do
        owner=$(cat "$state/setup.lock/pid" 2>/dev/null || true)
        if [[ -n $owner ]] && kill -0 "$owner" 2>/dev/null; then
            die "another set-up is running here (process $owner): wait for it"
        fi
        # The other may be between mkdir and writing its number: look once more before taking over.
        sleep 0.2
        [[ -z $(cat "$state/setup.lock/pid" 2>/dev/null || true) || -n $owner ]] || continue
        rm -rf "$state/setup.lock"
    done
    echo $$ >"$state/setup.lock/pid"
    trap unlock EXIT
    trap 'exit 130' INT TERM
}

unlock() { # only a lock of our own
    [[ $(cat "$state/setup.lock/pid" 2>/dev/null || true) != "$$" ]] || rm -rf "$state/setup.lock"
}

python_at_least_usable() { # is this command a CPython that can run the project and make a venv?
    "$1" - >/dev/null 2>&1 <<'PY'
import sys
import ensurepip, venv
sys.exit(not ((3, 10) <= sys.version_info[:2] <= (3, 13)))
PY
}

find_python() { # print the first suitable interpreter; pyenv's shims exist but fail: each one is run
    local name
    for name in ${PYTHON:-python3 python3.11 python3.12 python3.13 python3.10}; do
        if command -v "$name" >/dev/null && python_at_least_usable "$name"; then
            "$name" -c 'import sys; print(sys.executable)'
            return
        fi
    done
    return 1
}
