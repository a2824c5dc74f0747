"""What a profile needs before anything can be calculated: computer, codes, pseudopotentials."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiida_limsm.cli.profile import CREATED, MISSING, REPLACED, THERE, Outcome, PreparationError

if TYPE_CHECKING:
    from aiida.orm import Computer, InstalledCode

COMPUTER_LABEL = "localhost"
FAMILY_LABEL = "limsm/demo"
STRINGENCY = "normal"
#: Plane-wave cutoffs in Ry of the shipped norm-conserving pseudopotentials (density: 4 times).
CUTOFFS_RY = {"Li": 16.0, "Si": 20.0}

#: Set on the computer, not on the codes: a code's own text is part of its hash, and how many
#: threads there are must not decide whether AiiDA's cache knows a calculation.
PREPEND_TEXT = """\
# AiiDA's daemon hands its own import path down: a program of another Python would break on it.
unset PYTHONPATH
# One thread per process: several small jobs share this machine.
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1
# Idle threads of a pool sleep instead of spinning on a core that another job needs.
export OMP_WAIT_POLICY=PASSIVE GOMP_SPINCOUNT=0
# Open MPI: allow root (containers), more ranks than cores, and do not pin all jobs to core 0.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_hwloc_base_binding_policy=none
"""


@dataclass(frozen=True)
class CodeSpec:
    """One program and the plugin that runs it by default."""

    label: str
    executable: str
    plugin: str
    description: str


CODES = (
    CodeSpec("pw", "pw.x", "quantumespresso.pw", "Quantum ESPRESSO: SCF and ab initio MD"),
    CodeSpec("neb", "neb.x", "quantumespresso.neb", "Quantum ESPRESSO: nudged elastic band"),
    CodeSpec("limsm", "limsm", "limsm.md", "aiida-limsm: training, MD, evaluation and analysis"),
)


def pseudo_folder() -> Path:
    """Return the folder of the shipped pseudopotentials."""
    return Path(__file__).resolve().parents[1] / "resources" / "pseudo"


def ensure_computer(work_dir: Path, label: str = COMPUTER_LABEL) -> Outcome:
    """Register this machine as a computer unless one of that name is there.

    Parameters
    ----------
    work_dir
        Where the jobs run.
    label
        Name of the computer. One that exists is left as it is, but it must be local.
    """
    from aiida.common.exceptions import NotExistent
    from aiida.orm import Computer, User

    state = THERE
    try:
        computer = Computer.collection.get(label=label)
    except NotExistent:
        computer = Computer(
            label=label,
            hostname="localhost",
            description="This machine, set up by aiida-limsm",
            transport_type="core.local",
            scheduler_type="core.direct",
            workdir=str(work_dir),
        )
        computer.set_default_mpiprocs_per_machine(1)
        computer.set_prepend_text(PREPEND_TEXT)
        # Asked once a second: the default of 10 s is longer than many of these jobs.
        computer.set_minimum_job_poll_interval(1)
        computer.store()
        state = CREATED
    if computer.transport_type != "core.local":
        raise PreparationError(
            f"the computer {label!r} of this profile is not local ({computer.transport_type}): "
            "choose another name with --computer"
        )
    user = User.collection.get_default()
    if user is not None and not computer.is_user_configured(user):
        # No pause between connections: opening a local "transport" costs nothing.
        computer.configure(safe_interval=0, use_login_shell=False)
    Path(computer.get_workdir()).mkdir(parents=True, exist_ok=True)
    return Outcome(f"computer {label}", state, computer.get_workdir())


def program_folders(aiida_path: Path | None = None) -> tuple[Path, ...]:
    """Return where to look for programs before PATH.

    These are the folders that ``make setup`` fills: beside the AiiDA folder, and in the checkout
    that this virtual environment belongs to.
    """
    folders = [Path(sys.prefix).parent / ".limsm" / "bin"]
    if aiida_path is not None:
        folders.insert(0, aiida_path.resolve().parent / "bin")
    return tuple(folders)


def find_program(name: str, folders: Sequence[Path] = ()) -> Path | None:
    """Find an executable; ``limsm`` is the one of this Python environment."""
    if name == "limsm":
        own = Path(sys.prefix) / "bin" / name
        return own if os.access(own, os.X_OK) else None
    # The folders first: `make setup` fills them only where what is on PATH does not work.
    search = os.pathsep.join([*map(str, folders), os.environ.get("PATH", os.defpath)])
    found = shutil.which(name, path=search)
    # Not resolved: a link such as /usr/bin/pw.x outlives the version it points to.
    return None if found is None else Path(found).absolute()


def ensure_codes(
    computer_label: str = COMPUTER_LABEL,
    folders: Sequence[Path] = (),
    specs: Sequence[CodeSpec] = CODES,
) -> list[Outcome]:
    """Register the programs as codes; a code whose program is gone is replaced.

    The old code keeps its provenance under the label ``NAME-old-PK``.

    Parameters
    ----------
    computer_label
        The computer they run on.
    folders
        Where to look for programs before PATH.
    specs
        The programs.
    """
    from aiida.orm import Computer

    computer = Computer.collection.get(label=computer_label)
    return [_ensure_code(computer, spec, find_program(spec.executable, folders)) for spec in specs]


def _ensure_code(computer: Computer, spec: CodeSpec, program: Path | None) -> Outcome:
    from aiida.orm import InstalledCode

    what = f"code {spec.label}@{computer.label}"
    codes = _find_codes(computer, spec.label)
    good = [code for code in codes if _is_current(code, spec, program)]
    for code in codes:
        if code not in good[:1]:
            code.label = f"{spec.label}-old-{code.pk}"
    if good:
        return Outcome(what, THERE, str(good[0].filepath_executable))
    if program is None:
        remedy = f"{spec.executable} is not on PATH: install it, or run `make setup`"
        return Outcome(what, MISSING, remedy, ok=False)
    InstalledCode(
        label=spec.label,
        description=spec.description,
        computer=computer,
        filepath_executable=str(program),
        default_calc_job_plugin=spec.plugin,
        with_mpi=_with_mpi(spec, program),
    ).store()
    return Outcome(what, REPLACED if codes else CREATED, str(program))


def _find_codes(computer: Computer, label: str) -> list[InstalledCode]:
    """Return the codes of that name, newest first: AiiDA does not keep labels unique."""
    from aiida.orm import InstalledCode, QueryBuilder

    query = QueryBuilder().append(
        InstalledCode,
        filters={"label": label, "dbcomputer_id": computer.pk},
    )
    return sorted(query.all(flat=True), key=lambda code: -int(code.pk or 0))


def _is_current(code: InstalledCode, spec: CodeSpec, program: Path | None) -> bool:
    """Return whether a code's program exists; ours must also be that of this environment."""
    path = Path(str(code.filepath_executable))
    if not (path.is_file() and os.access(path, os.X_OK)):
        return False
    return spec.executable != "limsm" or path == program


def _with_mpi(spec: CodeSpec, program: Path) -> bool | None:
    """Return False for a program that must not be started by mpirun, None where the job decides."""
    if spec.executable == "limsm" or shutil.which("mpirun") is None:
        return False
    with program.open("rb") as stream:
        return False if b"qepy" in stream.read(500) else None


def ensure_pseudo_family(label: str = FAMILY_LABEL, folder: Path | None = None) -> Outcome:
    """Install the shipped pseudopotentials as a family with recommended cutoffs.

    Parameters
    ----------
    label
        Name of the family. One of that name with other files in it is kept under a new name.
    folder
        Folder of UPF files; by default the shipped ones.
    """
    from aiida.orm import QueryBuilder
    from aiida_pseudo.groups.family import CutoffsPseudoPotentialFamily

    files = sorted((folder or pseudo_folder()).glob("*.UPF"))
    if not files:
        raise PreparationError(
            f"no UPF files in {folder or pseudo_folder()}: reinstall aiida-limsm"
        )
    what = f"pseudopotentials {label}"
    found = QueryBuilder().append(CutoffsPseudoPotentialFamily, filters={"label": label}).all()
    family: Any = found[0][0] if found else None
    state = THERE
    if family is not None and _md5_of_family(family) != _md5_of_files(files):
        family.label = f"{label}-old-{family.pk}"
        family, state = None, REPLACED
    if family is None:
        state = state if state == REPLACED else CREATED
        family = _create_family(label, files)
    # Also finishes a family whose installation was interrupted before its cutoffs were stored.
    if STRINGENCY not in family.get_cutoff_stringencies():
        elements = {
            element: {"cutoff_wfc": CUTOFFS_RY[element], "cutoff_rho": 4 * CUTOFFS_RY[element]}
            for element in family.elements
        }
        family.set_cutoffs(elements, STRINGENCY, unit="Ry")
    return Outcome(what, state, " ".join(sorted(family.elements)))


def _create_family(label: str, files: Sequence[Path]) -> Any:
    from aiida.plugins import DataFactory
    from aiida_pseudo.groups.family import CutoffsPseudoPotentialFamily

    # aiida-pseudo takes every file of a folder for a pseudopotential: ours also holds the inputs
    # that they were generated from.
    with tempfile.TemporaryDirectory() as temporary:
        for path in files:
            shutil.copy(path, temporary)
        return CutoffsPseudoPotentialFamily.create_from_folder(
            Path(temporary),
            label,
            description="Soft norm-conserving PBE pseudopotentials shipped with aiida-limsm",
            pseudo_type=DataFactory("pseudo.upf"),
        )


def _md5_of_family(family: Any) -> set[str]:
    return {pseudo.md5 for pseudo in family.pseudos.values()}


def _md5_of_files(files: Sequence[Path]) -> set[str]:
    import hashlib

    return {hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest() for path in files}
