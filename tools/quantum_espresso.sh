#!/usr/bin/env bash
# Have pw.x and neb.x: those on PATH, else a build in .limsm, else Debian's or conda-forge's.
# Every candidate must first finish a real SCF of silicon, with our own pseudopotential.
set -euo pipefail
# shellcheck source=tools/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

stamp=$stamps/quantum_espresso
# The user's PATH, without the wrappers that an earlier run made.
user_path=${PATH%":$state/bin"}

recipe() { cksum <"$root/tools/quantum_espresso.sh"; }

is_ready() { # the programs that were verified are still there, and verified by this script
    local made_by pw neb
    [[ -f $stamp ]] && { read -r made_by && read -r pw && read -r neb; } <"$stamp" || return 1
    [[ $made_by == "$(recipe)" && -x $pw && -x $neb ]]
}

find_program() { PATH=$user_path command -v "$1" || { [[ -x $state/bin/$1 ]] && echo "$state/bin/$1"; }; }

both_work() { # the two programs that `find_program` names calculate something
    local pw neb folder
    pw=$(find_program pw.x) && neb=$(find_program neb.x) || return 1
    folder=$(mktemp -d "$state/tmp/smoke.XXXXXX")
    cat >"$folder/si.in" <<IN
&CONTROL
  calculation = 'scf', prefix = 'smoke', outdir = './out', disk_io = 'none'
  pseudo_dir = './'
/
&SYSTEM
  ibrav = 2, celldm(1) = 10.26, nat = 2, ntyp = 1, ecutwfc = 10
/
&ELECTRONS
  conv_thr = 1e-4
/
ATOMIC_SPECIES
  Si 28.086 Si.pbe-nc.UPF
ATOMIC_POSITIONS alat
  Si 0.00 0.00 0.00
  Si 0.25 0.25 0.25
K_POINTS gamma
IN
    cp "$root/aiida_limsm/resources/pseudo/Si.pbe-nc.UPF" "$folder"
    # The two ways a program gets its input: AiiDA uses the first.
    local code=0
    (
        cd "$folder"
        export OMP_NUM_THREADS=1 OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
        # As in a job: AiiDA's daemon hands its own import path down.
        PYTHONPATH=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
        export PYTHONPATH
        "$pw" -in si.in >si.out
        # Without images neb.x stops with an error of its own, after its banner.
        "$neb" </dev/null >neb.out 2>&1 || true
        # Energy of this rough set-up, -16.55 Ry: a build that gives another is not usable.
        grep -q '^! *total energy *= *-16\.55' si.out && grep -q 'JOB DONE' si.out && grep -q 'Program NEB' neb.out
    ) || { code=$?; tail -n 20 "$folder"/*.out; }
    rm -rf "$folder"
    return "$code"
}

python311() { # qepy's wheel exists for CPython 3.11 on Linux x86-64 only
    [[ $(uname -sm) == "Linux x86_64" ]] || return 1
    local name
    for name in "$venv/bin/python" ${PYTHON:-} python3.11 python3; do
        if command -v "$name" >/dev/null && python_at_least_usable "$name" &&
            "$name" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))'; then
            "$name" -c 'import sys; print(sys._base_executable)'
            return
        fi
    done
    return 1
}

install_qepy() { # a venv of its own: it needs numpy 1, the package numpy 2
    local program
    rm -rf "$state/qe"
    "$(python311)" -m venv --without-pip "$state/qe"
    "$venv/bin/python" -m pip --python "$state/qe/bin/python" install -q --only-binary=:all: \
        qepy==7.2.0 numpy==1.26.4
    # -I: a job inherits PYTHONPATH from AiiDA's daemon, and numpy 2 with it; and a file numpy.py in
    # the folder of the job must not be imported.
    for program in pw.x neb.x; do
        printf '#!/bin/sh\n# Quantum ESPRESSO 7.2 (qepy), serial: made by tools/quantum_espresso.sh\nexec "%s" -I -m qepy --%s "$@"\n' \
            "$state/qe/bin/python" "$program" >"$state/bin/$program.new"
        chmod +x "$state/bin/$program.new"
        mv "$state/bin/$program.new" "$state/bin/$program"
    done
    both_work
}

install_debian() {
    apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
        quantum-espresso openmpi-bin
    both_work
}

install_conda() {
    rm -rf "$state/conda"
    "$1" create -y -q -p "$state/conda" --override-channels -c conda-forge qe
    ln -sf "$state/conda/bin/pw.x" "$state/conda/bin/neb.x" "$state/bin/"
    both_work
}

if ! is_ready; then
    lock
    broken="pw.x or neb.x does not finish a small run: install Quantum ESPRESSO 6.6 to 7.6 and put it on PATH"
    if PATH=$user_path command -v pw.x >/dev/null && both_work >>"$log" 2>&1; then
        step "Quantum ESPRESSO: $(find_program pw.x)" "$broken" true
    elif [[ -x $state/bin/pw.x ]] && user_path=/nonexistent both_work >>"$log" 2>&1; then
        step "Quantum ESPRESSO: $state/bin/pw.x" "$broken" true
    elif python311 >/dev/null; then
        # A pw.x on PATH that failed the trial would hide the one installed here.
        user_path=/nonexistent
        step "Quantum ESPRESSO 7.2 (qepy), with a trial run" "$broken" install_qepy
    elif [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null; then
        step "Quantum ESPRESSO (Debian), with a trial run" "$broken" install_debian
    elif conda=$(command -v mamba || command -v conda); then
        user_path=/nonexistent
        step "Quantum ESPRESSO (conda-forge), with a trial run" "$broken" install_conda "$conda"
    else
        die "no Quantum ESPRESSO found, and none can be installed here: install it (pw.x and neb.x on PATH), \
or make python3.11 available"
    fi
    { recipe && find_program pw.x && find_program neb.x; } >"$stamp.new"
    mv "$stamp.new" "$stamp"
fi
