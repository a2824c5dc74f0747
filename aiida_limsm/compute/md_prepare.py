"""Read and check what an ``limsm md`` job needs, and run its groups in this process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .base import JobError, Status
from .inputs import MdInput
from .md_plan import GroupPlan, plan_groups

if TYPE_CHECKING:
    from ase import Atoms

    from aiida_limsm.atomistic.md_state import Checkpoint

    from .md_group import Group, GroupResult


@dataclass(frozen=True)
class Prepared:
    """What has been read and checked before any step is taken."""

    atoms: Atoms
    groups: list[GroupPlan]
    states: list[dict[int, Checkpoint]]
    identity: dict[str, Any]


def prepare(job: MdInput, folder: Path) -> Prepared:
    """Read structure, potentials and checkpoints, and check that they go together.

    Raises
    ------
    JobError
        Something is missing or does not fit.
    """
    # Heavy imports stay inside: reading the contract must not load torch.
    import ase.io

    from aiida_limsm.atomistic.potential import describe_model, require_device, require_elements

    from .md_group import identity_of, read_group

    paths = [folder / name for name in (job.potential_file, *job.committee_files)]
    structure_path = folder / job.structure_file
    for path in (*paths, structure_path):
        if not path.is_file():
            raise JobError(Status.INVALID_INPUT, f"{path} does not exist")
    try:
        atoms: Any = ase.io.read(structure_path)
    except Exception as error:  # ASE's readers raise anything
        raise JobError(
            Status.INVALID_INPUT, f"structure_file: {structure_path} cannot be read: {error}"
        ) from error
    try:
        require_device(job.device)
        _check_structure(atoms, structure_path)
        sums = []
        for path in paths:
            potential = describe_model(path)
            require_elements(potential.elements, set(atoms.symbols))
            sums.append(potential.sha256)
        groups = plan_groups(job, len(atoms))
        identity = identity_of(job, atoms, sums, len(groups[0].runs))
        states = [read_group(folder, group, identity) for group in groups]
    except ValueError as error:
        raise JobError(Status.INVALID_INPUT, str(error)) from error
    return Prepared(atoms, groups, states, identity)


def run_groups(
    job: MdInput,
    folder: Path,
    prepared: Prepared,
    numbers: list[int] | None,
    should_stop: Callable[[], str | None],
    progress: Callable[[str], None],
) -> list[GroupResult]:
    """Run groups one after the other in this process; all of them where ``numbers`` is None."""
    from aiida_limsm.atomistic.engine import AseEngine, Engine, MaceEngine
    from aiida_limsm.atomistic.potential import load_calculator

    def load(name: str) -> Any:
        return load_calculator(folder / name, head=job.head, device=job.device, dtype=job.dtype)

    chosen = range(len(prepared.groups)) if numbers is None else numbers
    results: list[GroupResult] = []
    try:
        calculator = load(job.potential_file)
        committee = [load(name) for name in job.committee_files]
        engine: Engine
        if job.engine == "ase":
            engine = AseEngine(calculator)
        else:
            engine = mace = MaceEngine(calculator)
            if job.compile_model:
                progress("compiling the model: a minute or two, less if torch has kept it")
                alike = prepared.groups[chosen[0]].runs
                mace.compile({run.key: prepared.atoms for run in alike}, job.barostat is not None)
        for number in chosen:
            group = make_group(job, folder, prepared, number, should_stop, progress)
            # every job takes a step at least, so that one which is restarted comes to its end
            reason = should_stop() if any(result.steps for result in results) else None
            if reason is not None:
                results.append(group.skip(reason))
                continue
            results.append(group.run(engine, committee))
    except ValueError as error:
        raise JobError(Status.INVALID_INPUT, str(error)) from error
    return results


def make_group(
    job: MdInput,
    folder: Path,
    prepared: Prepared,
    number: int,
    should_stop: Callable[[], str | None] = lambda: None,
    progress: Callable[[str], None] = print,
) -> Group:
    """Return one group of a job, ready to run."""
    from .md_group import Group

    return Group(
        job, folder, prepared.groups[number], prepared.atoms, prepared.identity,
        prepared.states[number], should_stop, progress,
    )  # fmt: skip


def _check_structure(atoms: Any, path: Path) -> None:
    if not atoms.pbc.all() or atoms.cell.rank < 3:
        raise ValueError(f"{path.name} is not periodic in three directions: give it a cell")
    if len(atoms) < 2:
        raise ValueError(f"{path.name} holds {len(atoms)} atom(s): two are needed at least")
