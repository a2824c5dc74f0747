"""``limsm neb``: a migration path with a potential, restartable, or energies of a given path."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiida_limsm.files import whole_file

from .base import JobError, Status
from .environment import StopSignal
from .evaluate import read_frames
from .neb_inputs import NebInput
from .neb_results import NebResults, PathProfile

if TYPE_CHECKING:
    from ase import Atoms

    from aiida_limsm.atomistic.neb_state import BandCheckpoint, Stage

__all__ = ["CHECKPOINT_FILENAME", "PATH_FILENAME", "run_neb"]

CHECKPOINT_FILENAME = "checkpoint.npz"
PATH_FILENAME = "path.extxyz"
DEFAULT_IMAGES = 7
#: An end point that moves an atom farther than this (Å) may be another minimum than was meant.
FAR = 1.0

#: The top of the fit may lie this far above the highest image (eV).
MISSED_EV = 0.02

#: Physics that a continued run cannot change; limits and tolerances it can.
_IDENTITY_FIELDS = (
    "head",
    "dtype",
    "n_images",
    "relax_ends",
    "interpolation",
    "spring_ev_per_angstrom2",
)
_UNPHYSICAL = {"forces": Status.FORCES_EXPLODED, "distance": Status.ATOMS_TOO_CLOSE}
Stages = Callable[[str, int, int], None]


class _Stopped(Exception):
    """The run ends before the band has converged; with its status and reason."""

    def __init__(self, status: Status, message: str) -> None:
        super().__init__(message)
        self.status = status


def run_neb(
    job: NebInput,
    folder: Path,
    progress: Callable[[str], None] = print,
    stages: Stages = lambda *_: None,
) -> NebResults:
    """Relax end points and band in ``folder``, or continue from its checkpoint.

    Raises
    ------
    JobError
        For images that are no path, a potential that lacks an element, or a checkpoint of another
        run. Whatever was relaxed before a failure is in ``path.extxyz``.
    """
    from aiida_limsm.atomistic.band import check_images, unwrapped
    from aiida_limsm.atomistic.neb import ImageCalculator
    from aiida_limsm.atomistic.potential import describe_model, load_calculator, require_elements

    started = time.monotonic()
    for name in (job.potential_file, *job.structure_files):
        if not (folder / name).is_file():
            raise JobError(Status.INVALID_INPUT, f"{folder / name} does not exist")
    given = [image for name in job.structure_files for image in read_frames(folder / name)]
    try:
        check_images(
            given,
            max_displacement_angstrom=job.max_displacement_angstrom,
            check_order=job.check_order,
        )
        _check_number(job, len(given))
        images = unwrapped(given)
        potential = describe_model(folder / job.potential_file)
        require_elements(potential.elements, set(images[0].symbols))
        state = _state(job, folder / CHECKPOINT_FILENAME, images, potential.sha256)
        shared = load_calculator(
            folder / job.potential_file, head=job.head, device=job.device, dtype=job.dtype
        )
    except ValueError as error:
        raise JobError(Status.INVALID_INPUT, str(error)) from error
    if state.restarts:
        progress(f"continuing the stage '{state.stage}'")
    run = _Run(job, folder, state, images[0], lambda: ImageCalculator(shared), progress, stages)
    with StopSignal() as signal:
        run.must_stop = lambda: (
            signal.received
            if signal.received is not None or job.max_seconds is None
            else f"max_seconds ({job.max_seconds:g} s)"
            if time.monotonic() - started > job.max_seconds
            else None
        )
        status, message = run.run()
    return run.results(status, message, started)


def _check_number(job: NebInput, given: int) -> None:
    if job.n_images is not None and given > 2 and job.n_images != given:
        raise ValueError(
            f"n_images is {job.n_images} but {given} images are given: leave it out, or give the "
            "two end points only"
        )


def _state(job: NebInput, path: Path, images: list[Atoms], potential_sha256: str) -> BandCheckpoint:
    """Return the checkpoint of the folder, or that of a new run."""
    import numpy as np

    from aiida_limsm.atomistic.neb_state import BandCheckpoint

    given = np.array([image.positions for image in images])
    identity: dict[str, Any] = {
        **{name: getattr(job, name) for name in _IDENTITY_FIELDS},
        "structure": [str(images[0].symbols), images[0].cell.array.tolist()],
        "images": hashlib.sha256(given.round(8).tobytes()).hexdigest(),
        "potential": potential_sha256,
    }
    if job.single_points or not path.exists():
        start: Stage = "initial" if job.relax_ends else "band"
        return BandCheckpoint(start, given, given.copy(), identity=identity)
    state = BandCheckpoint.read(path)
    for name, value in identity.items():
        if state.identity.get(name) != value:
            raise ValueError(
                f"{CHECKPOINT_FILENAME} is of a run with another {name}: use another folder, or "
                "remove it to start anew"
            )
    state.restarts += 1
    return state


class _Run:
    """One run of the job: the images with their calculators, and what stage they are in."""

    def __init__(
        self,
        job: NebInput,
        folder: Path,
        state: BandCheckpoint,
        template: Any,
        make_calculator: Callable[[], Any],
        progress: Callable[[str], None],
        stages: Stages,
    ) -> None:
        self.job, self.folder, self.state = job, folder, state
        self.progress, self.stages = progress, stages
        self.must_stop: Callable[[], str | None] = lambda: None
        self._make_calculator = make_calculator
        self._template: Any = template
        self.images: list[Any] = [self._image(positions) for positions in state.positions]
        self._earlier_calls = state.force_calls
        self._retired_calls = 0
        self.fmax: float | None = None
        self.converged = False

    def _image(self, positions: Any) -> Any:
        image = self._template.copy()
        image.positions[:] = positions
        image.calc = self._make_calculator()
        return image

    def run(self) -> tuple[Status, str]:
        """Do what is left; return how it ended."""
        from aiida_limsm.atomistic.neb import BandUnphysical

        try:
            if self.job.single_points:
                self._check(self.images)
                return Status.FINISHED, f"{len(self.images)} images evaluated"
            self._relax_ends()
            self._relax_band()
        except BandUnphysical as error:
            return _UNPHYSICAL[error.kind], str(error)
        except _Stopped as stop:
            return stop.status, str(stop)
        self.converged = True
        return Status.FINISHED, f"band of {len(self.images)} images converged"

    def _relax_ends(self) -> None:
        from aiida_limsm.atomistic.band import collapsed
        from aiida_limsm.atomistic.neb import relax

        for stage, following, index in (("initial", "final", 0), ("final", "band", -1)):
            if self.state.stage != stage:
                continue
            end = self.images[index]
            left = self.job.max_steps - self.state.steps.get(stage, 0)
            steps = relax(end, self.job.optimiser, self.job.fmax_ev_per_angstrom, left)
            self._follow(stage, steps, [end])
            if stage == "final":
                given = [self._image(self.state.given[k]) for k in (0, -1)]
                if (text := collapsed(given, [self.images[0], end])) is not None:
                    raise _Stopped(
                        Status.END_POINTS_COLLAPSED,
                        f"{text}: one of them is no minimum of this potential; without relax_ends "
                        "the path between them shows how the energy falls",
                    )
            self.state.stage = following  # type: ignore[assignment]
            self._save()

    def _relax_band(self) -> None:
        from aiida_limsm.atomistic.band import interpolate_band
        from aiida_limsm.atomistic.neb import relax_band

        job, state = self.job, self.state
        if len(self.images) == 2:
            ends = self.images
            between = interpolate_band(
                ends[0], ends[-1], job.n_images or DEFAULT_IMAGES, job.interpolation
            )
            # the ends keep their calculators, which know their energies
            middle = [self._image(image.positions) for image in between[1:-1]]
            last = self._image(between[-1].positions)
            self._retired_calls += ends[-1].calc.calls
            self.images = [ends[0], *middle, last]
            self._save()
        self._check(self.images)

        def climb() -> None:
            state.stage = "climb"
            self.progress("the highest image climbs")

        steps = relax_band(
            self.images,
            job.optimiser,
            job.fmax_ev_per_angstrom,
            job.max_steps - state.steps.get("band", 0),
            climb=job.climb,
            climbing=job.climb and state.stage == "climb",
            spring_ev_per_angstrom2=job.spring_ev_per_angstrom2,
            on_climb=climb,
        )
        self._follow("band", steps, self.images)

    def _follow(self, stage: str, steps: Any, images: list[Atoms]) -> None:
        """Take steps until they converge; check, save and report on the way."""
        done, limit = self.state.steps.get(stage, 0), self.job.max_steps
        for step in steps:
            number = done + step.number
            self.state.steps[stage] = number
            if stage == "band":
                self.fmax = step.fmax
            self._check(images)
            due = number % self.job.checkpoint_interval_steps == 0
            if due or step.converged:
                self._save()
                self.progress(f"{stage}: step {number}, force {step.fmax:.3f} eV/Å")
            self.stages(stage, min(number, limit), limit)
            if step.converged:
                return
            # at least one step a run: restarts of a tiny walltime get somewhere
            if step.number and (reason := self.must_stop()) is not None:
                self._save()
                raise _Stopped(
                    Status.OUT_OF_WALLTIME,
                    f"stopped by {reason} after step {number} of '{stage}': run it again",
                )
        self._save()
        raise _Stopped(
            Status.NOT_CONVERGED,
            f"'{stage}' has a force of {step.fmax:.3f} eV/Å after {number} steps, more than "
            f"{self.job.fmax_ev_per_angstrom:g}: raise max_steps and run it again",
        )

    def _check(self, images: list[Atoms]) -> None:
        from aiida_limsm.atomistic.neb import check_physical

        check_physical(images, self.job.max_force_ev_per_angstrom, self.job.min_distance_angstrom)

    @property
    def force_calls(self) -> int:
        """Evaluations of one image, over all restarts."""
        calls = sum(image.calc.calls for image in self.images)
        return self._earlier_calls + self._retired_calls + calls

    def _save(self) -> None:
        import numpy as np

        self.state.positions = np.array([image.positions for image in self.images])
        self.state.force_calls = self.force_calls
        self.state.write(self.folder / CHECKPOINT_FILENAME)

    def results(self, status: Status, message: str, started: float) -> NebResults:
        """Write the path as it is and return its results."""
        import numpy as np

        from aiida_limsm.atomistic.band import largest_displacement, profile_of

        single = self.job.single_points
        finite = status not in _UNPHYSICAL.values()
        profile, moved, warnings = None, None, []
        if finite:
            energies = np.array([image.get_potential_energy() for image in self.images])
            forces = np.array([image.get_forces() for image in self.images])
            if len(self.images) > 2 or (single and status is Status.FINISHED):
                profile = profile_of(self.images, energies, forces)
        if not single and self.job.relax_ends:
            first, last = (
                largest_displacement(self._image(self.state.given[k]), self.images[k])
                for k in (0, -1)
            )
            moved = (first, last)
            warnings += [
                f"the {name} structure moved an atom by {way:.2f} Å when it was relaxed: see "
                "whether it is still the minimum that was meant"
                for name, way in (("initial", first), ("final", last))
                if way > FAR
            ]
        if profile is not None:
            warnings += _remarks(profile)
            if status is Status.FINISHED:
                message += _barrier_text(profile)
        _write_path(self.images, self.folder / PATH_FILENAME, finite)
        return NebResults(
            status=status,
            message=message,
            warnings=tuple(warnings),
            path_file=PATH_FILENAME,
            n_images=len(self.images),
            converged=None if single else self.converged,
            climbed=self.state.stage == "climb",
            fmax_ev_per_angstrom=self.fmax,
            end_displacements_angstrom=moved,
            profile=None if profile is None else PathProfile.of(profile),
            steps=sum(self.state.steps.values()),
            force_calls=self.force_calls,
            restarts=self.state.restarts,
            wall_seconds=time.monotonic() - started,
        )


def _remarks(profile: Any) -> list[str]:
    """Say what a reader of the barrier must know."""
    from aiida_limsm.atomistic.band import MONOTONIC_EV

    remarks = []
    if profile.valley_ev > MONOTONIC_EV:
        lowest = int(profile.energy_ev.argmin()) + 1
        remarks.append(
            f"image {lowest} lies {profile.valley_ev:.3f} eV below both end points: there is a "
            "minimum in between, take it as an end point of two paths"
        )
    if profile.missed_ev > MISSED_EV:
        remarks.append(
            f"the fit through the images has its top {profile.missed_ev:.3f} eV above the highest "
            "image: take more images"
        )
    return remarks


def _barrier_text(profile: Any) -> str:
    if profile.monotonic:
        change = profile.energy_ev[-1] - profile.energy_ev[0]
        return f", no barrier: the energy changes monotonically by {change:.3f} eV"
    return (
        f", barrier {profile.barrier_forward_ev:.3f} eV forwards, "
        f"{profile.barrier_backward_ev:.3f} eV backwards"
    )


def _write_path(images: list[Any], path: Path, finite: bool) -> None:
    """Write the images with energies and forces; without them where they are no numbers."""
    import ase.io
    from ase.calculators import singlepoint

    frozen: Any = singlepoint.SinglePointCalculator
    written = []
    for image in images:
        copy: Any = image.copy()
        if finite:
            copy.calc = frozen(copy, energy=image.get_potential_energy(), forces=image.get_forces())
        written.append(copy)
    with whole_file(path) as temporary:
        ase.io.write(temporary, written, format="extxyz")
