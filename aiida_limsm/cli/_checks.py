"""The checks of ``aiida-limsm doctor`` that need no AiiDA profile, and running the programs."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path
from typing import Literal

Status = Literal["ok", "warning", "error"]


@dataclass(frozen=True)
class Check:
    """One line of the report; a remedy belongs to every line that is not ``ok``."""

    name: str
    status: Status
    detail: str
    remedy: str = ""


@dataclass(frozen=True)
class ProgramCheck:
    """How to recognise that a program runs: its arguments and the text that carries its version."""

    arguments: tuple[str, ...]
    version: re.Pattern[str]


#: By calculation plugin. pw.x and neb.x have no option for their version: without input they
#: print their banner and stop.
PROGRAMS: dict[str, ProgramCheck] = {
    "quantumespresso.pw": ProgramCheck((), re.compile(r"Program PWSCF\s+v\.?\s*(\S+)")),
    "quantumespresso.neb": ProgramCheck((), re.compile(r"Program NEB\s+v\.?\s*(\S+)")),
    "limsm": ProgramCheck(("--version",), re.compile(r"version (\S+)")),
}
#: The versions that aiida-quantumespresso 5 declares.
QE_VERSIONS = ((6, 6), (7, 6))
GIB = 1024**3


def check_environment() -> Iterator[Check]:
    """Check Python, the packages, torch's build and the memory."""
    yield _python()
    yield _packages()
    yield _torch()
    yield _memory()


def _python() -> Check:
    version = platform.python_version()
    if (3, 10) <= sys.version_info[:2] <= (3, 13):
        return Check("Python", "ok", f"{version} in {sys.prefix}")
    return Check("Python", "error", version, "use Python 3.10 to 3.13")


def _packages() -> Check:
    from packaging.requirements import Requirement

    bad, shown = [], []
    for text in metadata.requires("aiida-limsm") or []:
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            bad.append(f"{requirement.name} is missing")
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            bad.append(f"{requirement.name} {version} is not {requirement.specifier}")
        if requirement.name in ("aiida-core", "aiida-quantumespresso", "mace-torch"):
            shown.append(f"{requirement.name} {version}")
    if bad:
        remedy = "pip install --upgrade aiida-limsm, or `make setup` in a checkout"
        return Check("packages", "error", "; ".join(bad), remedy)
    return Check("packages", "ok", ", ".join(shown))


def _torch() -> Check:
    """Read the build from torch's files: importing it takes seconds."""
    spec = util.find_spec("torch")
    if spec is None or spec.origin is None:
        return Check("PyTorch", "error", "not installed", "run `make setup`, or pip install torch")
    version = metadata.version("torch")
    source = Path(spec.origin).with_name("version.py")
    text = source.read_text(encoding="utf-8") if source.is_file() else ""
    found = re.search(r"^cuda\b[^=]*=\s*['\"]([\d.]+)['\"]", text, re.MULTILINE)
    cuda = found.group(1) if found else None
    has_gpu = Path("/dev/nvidia0").exists()
    if has_gpu and cuda is None:
        remedy = "install torch's CUDA build to use it"
        return Check("PyTorch", "warning", f"{version}, CPU build, beside an NVIDIA GPU", remedy)
    if cuda is not None and not has_gpu:
        # Not a fault: a login node has no GPU, its compute nodes do.
        return Check("PyTorch", "ok", f"{version}, CUDA {cuda} build (no GPU on this machine)")
    return Check("PyTorch", "ok", f"{version}, {f'CUDA {cuda}' if cuda else 'CPU'} build")


def _memory() -> Check:
    import psutil  # type: ignore[import-untyped]

    memory = psutil.virtual_memory()
    detail = (
        f"{memory.available / GIB:.1f} GiB free of {memory.total / GIB:.1f}, {os.cpu_count()} cores"
    )
    if memory.available < 2 * GIB:
        return Check(
            "memory", "warning", detail, "a training needs about 2 GiB: end other programs"
        )
    return Check("memory", "ok", detail)


def check_disk(folder: Path) -> Check:
    """Check the free space where the jobs run."""
    place = folder
    while not place.exists() and place != place.parent:
        place = place.parent
    free = shutil.disk_usage(place).free / GIB
    detail = f"{free:.0f} GiB free in {folder}"
    if not os.access(place, os.W_OK):
        return Check("disk", "error", f"no permission to write in {place}", "change its owner")
    if free < 1:
        return Check("disk", "error", f"{free:.2f} GiB free in {folder}", "make room")
    if free < 10:
        return Check("disk", "warning", detail, "long trajectories need more: make room")
    return Check("disk", "ok", detail)


def check_program(name: str, program: Path, plugin: str, remedy: str) -> Check:
    """Run a program and read its version.

    Parameters
    ----------
    name
        What the line is called.
    program
        The executable.
    plugin
        Its calculation plugin, which says what it is.
    remedy
        What to do when it does not run.
    """
    if not (program.is_file() and os.access(program, os.X_OK)):
        return Check(name, "error", f"{program} does not exist or is not executable", remedy)
    expected = PROGRAMS["limsm" if plugin.startswith("limsm.") else plugin]
    try:
        # In a folder of its own: pw.x leaves files behind.
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(
                [program, *expected.arguments],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=60,
                check=False,
                # AiiDA's daemon hands its import path down to local jobs: a Python program of
                # another environment may fail in a job although it runs in a terminal.
                env={
                    **os.environ,
                    "OMP_NUM_THREADS": "1",
                    "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
                },
            )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Check(name, "error", f"{program} does not run: {error}", remedy)
    text = done.stdout.decode(errors="replace")
    found = expected.version.search(text)
    if found is None:
        last = " ".join(text.split())[-160:] or "no output"
        return Check(name, "error", f"{program} does not run: {last}", remedy)
    version = found.group(1)
    if plugin.startswith("quantumespresso.") and not _is_tested_qe(version):
        low, high = ("{}.{}".format(*each) for each in QE_VERSIONS)
        remedy = f"aiida-quantumespresso knows {low} to {high}"
        return Check(name, "warning", f"version {version}, {program}", remedy)
    return Check(name, "ok", f"version {version}, {program}")


def _is_tested_qe(version: str) -> bool:
    numbers = re.match(r"(\d+)\.(\d+)", version)
    if numbers is None:
        return False
    return QE_VERSIONS[0] <= (int(numbers[1]), int(numbers[2])) <= QE_VERSIONS[1]
