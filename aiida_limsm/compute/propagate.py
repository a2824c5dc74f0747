"""``limsm propagate``: a distribution of ions carried on in time, beside Fick's law."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from aiida_limsm.files import whole_file

from ..markov.arrays import FloatArray
from ..markov.fick import FickComparison, compare_with_fick, plane_diffusion
from ..markov.io import load_model
from ..markov.model import MarkovModel
from ..markov.propagation import choose_method, propagate
from ..markov.start_profiles import gaussian_density, point_density, slab_density
from ..units import ANGSTROM2_PER_PS_TO_CM2_PER_S
from .base import PROPAGATION_FILENAME, JobError, Status
from .inputs import PropagateInput
from .results import PropagateResults

__all__ = ["PROPAGATION_FILENAME", "read_profiles", "run_propagate"]

FORMAT = "aiida-limsm propagation"
VERSION = 1

FIRST_TIME = 1e-3
"""Where no times are asked, the first is this part of the last."""

ARRAYS_HELD = 6
"""Arrays of one number a site that a propagation holds at the least."""


def run_propagate(
    job: PropagateInput,
    folder: Path,
    progress: Callable[[str], None] = print,
    step: Callable[[str, int, int], None] = lambda *_: None,
) -> PropagateResults:
    """Carry a distribution on and write ``propagation.h5`` into ``folder``.

    Parameters
    ----------
    job
        What to do; the model's file name is relative to ``folder``, or absolute.
    folder
        Gets ``propagation.h5``.
    progress, step
        Get lines for people, and how far the work is.

    Raises
    ------
    JobError
        ``INVALID_INPUT`` with one line that says what to change.
    """
    began = time.monotonic()
    folder = Path(folder)
    try:
        model = load_model(folder / job.model_file)
        return _run(job, model, folder, progress, step, began)
    except ValueError as error:
        raise JobError(Status.INVALID_INPUT, str(error)) from error


def _run(
    job: PropagateInput,
    model: MarkovModel,
    folder: Path,
    progress: Callable[[str], None],
    step: Callable[[str, int, int], None],
    began: float,
) -> PropagateResults:
    axis = "abc".index(job.axis)
    sites = int(np.prod(job.cells)) * model.n_sites
    needed = ARRAYS_HELD * 8 * sites / 1e6
    if needed > job.memory_mb:
        raise ValueError(
            f"{sites} sites need {needed:.0f} MB at the least: raise memory_mb "
            f"({job.memory_mb}) or take fewer cells"
        )
    times = _times(job, model, axis)
    method = job.method
    if method == "auto":
        method = choose_method(model, job.cells, times, memory_mb=job.memory_mb)
    start = _start(job, model, axis)
    progress(
        f"{sites} sites, {len(times)} times up to {times[-1]:.4g} ps "
        f"({times[-1] / model.lag_ps:.4g} lags), method {method}"
    )
    watched = _Watched(propagate(model, start, times, method, memory_mb=job.memory_mb), step, times)
    found = compare_with_fick(model, start, times, iter(watched), axis)
    _save(found, folder / PROPAGATION_FILENAME, job, watched.last if job.keep_density else None)
    drift = float(np.abs(np.array(watched.ions) / start.sum() - 1.0).max())
    x, y, z = ((float(row[0]), float(row[1]), float(row[2])) for row in model.diffusion_tensor())
    return PropagateResults(
        status=Status.FINISHED,
        message=(
            f"{sites} sites carried to {times[-1]:.4g} ps; "
            f"{found.relative_l2[-1]:.2g} from Fick's law (relative L2)"
        ),
        profiles_file=PROPAGATION_FILENAME,
        n_sites=sites,
        cells=job.cells,
        axis=job.axis,
        start=job.start,
        method=method,
        lag_time_ps=model.lag_ps,
        times_ps=_floats(found.times_ps),
        relative_l2=_floats(found.relative_l2),
        variance_model_angstrom2=_floats(found.variance_model_angstrom2),
        variance_fick_angstrom2=_floats(found.variance_fick_angstrom2),
        tensor_cm2_s=(x, y, z),
        d_axis_cm2_s=found.diffusion_cm2_s,
        ions_drift=drift,
        wall_seconds=time.monotonic() - began,
    )


class _Watched:
    """Densities passed on; their sums and the last of them are kept."""

    def __init__(
        self,
        densities: Iterator[FloatArray],
        step: Callable[[str, int, int], None],
        times: FloatArray,
    ) -> None:
        self.ions: list[float] = []
        self.last: FloatArray | None = None
        self._densities, self._step, self._number = densities, step, len(times)

    def __iter__(self) -> Iterator[FloatArray]:
        self._step("propagation", 0, self._number)
        for density in self._densities:
            self.last = density
            self.ions.append(float(density.sum()))
            self._step("propagation", len(self.ions), self._number)
            yield density


def _times(job: PropagateInput, model: MarkovModel, axis: int) -> FloatArray:
    """Return the times asked, or times on a logarithmic scale, multiples of the lag."""
    if job.times_ps is not None:
        return np.array(job.times_ps)
    total = job.total_time_ps
    if total is None:
        spacing, across = plane_diffusion(model, axis)
        if across <= 0:
            raise ValueError(f"nothing diffuses along {job.axis}: give times_ps or total_time_ps")
        longest = job.cells[axis] * spacing / (2 * np.pi)
        total = longest**2 / (across / ANGSTROM2_PER_PS_TO_CM2_PER_S)
    lags = np.rint(np.geomspace(FIRST_TIME * total, total, job.number_of_times) / model.lag_ps)
    return np.unique(np.maximum(lags, 1.0)) * model.lag_ps


def _start(job: PropagateInput, model: MarkovModel, axis: int) -> FloatArray:
    if job.start == "slab":
        return slab_density(model, job.cells, axis)
    if job.start == "gaussian":
        assert job.width_angstrom is not None
        return gaussian_density(model, job.cells, job.width_angstrom, axis)
    if job.site is None:
        return point_density(model, job.cells)
    if job.site not in model.lattice.labels:
        known = ", ".join(model.lattice.labels[:10])
        raise ValueError(f"site {job.site} is not in the model, which has {known}")
    return point_density(model, job.cells, model.lattice.labels.index(job.site))


def _floats(values: FloatArray) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def _save(
    found: FickComparison, path: Path, job: PropagateInput, density: FloatArray | None
) -> None:
    """Write profiles, and the density at the last time if given, atomically."""
    with whole_file(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["format"] = FORMAT
        file.attrs["version"] = VERSION
        file.attrs["axis"] = job.axis
        file.attrs["start"] = job.start
        for field in fields(FickComparison):
            file.create_dataset(field.name, data=getattr(found, field.name), track_times=False)
        if density is not None:
            last = file.create_dataset("density_at_last_time", data=density, track_times=False)
            last.attrs["axes"] = "L1, L2, L3, site"


def read_profiles(path: Path) -> FickComparison:
    """Read the profiles of a ``propagation.h5``.

    Raises
    ------
    ValueError
        The file is none of ours.
    """
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise ValueError(f"{path} is no readable HDF5 file") from error
    with file:
        if file.attrs.get("format") != FORMAT:
            raise ValueError(f"{path} holds no propagation of aiida-limsm")
        values: dict[str, Any] = {f.name: file[f.name][()] for f in fields(FickComparison)}
    values["diffusion_cm2_s"] = float(values["diffusion_cm2_s"])
    return FickComparison(**values)
