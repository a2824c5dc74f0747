"""``limsm compare``: how alike trajectories are, in structure and in vibrations."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from itertools import combinations
from pathlib import Path
from typing import Literal

import numpy as np

from ..atomistic.rdf import RdfCounter, RdfCurves
from ..atomistic.sampled import SampledCurves
from ..atomistic.vdos import (
    HANN_WIDTH,
    VdosSampler,
    finite_differences,
    highest_frequency_thz,
    longest_interval_fs,
    resolution_thz,
)
from ..markov.neighbours import cell_heights
from ..markov.observe import Step
from .base import Status
from .compare_file import write_curves
from .compare_models import (
    COMPARISON_FILENAME,
    CompareInput,
    CompareResults,
    CurveOverlap,
    HighestPeak,
    SourceSummary,
)
from .compare_sources import Source, open_sources
from .trajectories import unusable_is_said

__all__ = ["run_compare"]

LEAST_RESOLVED = 3.0
"""How many lines must fit the frequency axis side by side. A segment so long has eight frames at
least, where frames resolve the axis."""

NEAR_NYQUIST = 0.02
"""More of the power than this in the last tenth below the Nyquist frequency may be folded down."""

POINTS_PER_LINE = 5
FEWEST_POINTS = 200


def run_compare(
    job: CompareInput,
    folder: Path,
    progress: Callable[[str], None] = print,
    step: Step = lambda *_: None,
) -> CompareResults:
    """Compute g(r) and densities of states, compare all trajectories, write ``comparison.h5``.

    Parameters
    ----------
    job
        Files are relative to ``folder``.
    progress, step
        Get lines for people, and how far long work is.

    Raises
    ------
    JobError
        ``TRAJECTORY_UNUSABLE`` with one line that says what to change.
    """
    began = time.monotonic()
    with unusable_is_said(), ExitStack() as stack:
        return _run(job, Path(folder), stack, progress, step, began)


def _run(
    job: CompareInput,
    folder: Path,
    stack: ExitStack,
    progress: Callable[[str], None],
    step: Step,
    began: float,
) -> CompareResults:
    sources, warnings = open_sources(job, folder, stack, progress)
    symbols = set(sources[0].symbol_counts)
    highest = job.max_frequency_thz or highest_frequency_thz(symbols)
    without = {source.label: _no_vdos(source, job, highest) for source in sources}
    if job.vdos == "required" and (reasons := [text for text in without.values() if text]):
        raise ValueError(reasons[0])
    warnings += [
        f"no vibrational density of states: {text}"
        for text in without.values()
        if text and job.vdos == "auto"
    ]
    rdf = {source.label: _rdf(source, job, step) for source in sources}
    moving = [source for source in sources if not without[source.label]]
    vdos, width = _vdos(moving, job, highest, warnings, step) if moving else ({}, None)
    for source in sources:
        half = 0.5 * float(cell_heights(source.trajectory.cell).min())
        if job.r_max_angstrom > half:
            warnings.append(
                f"{source.label}: beyond {half:.3g} Å, half its cell, atoms see periodic images"
            )
    write_curves(folder / COMPARISON_FILENAME, rdf, vdos)
    pairs = len(sources) * (len(sources) - 1) // 2
    return CompareResults(
        status=Status.FINISHED,
        message=f"{len(sources)} trajector{'y' if len(sources) == 1 else 'ies'}, "
        f"{pairs} comparison{'' if pairs == 1 else 's'}",
        warnings=tuple(warnings),
        curves_file=COMPARISON_FILENAME,
        sources=tuple(
            _summary(source, rdf[source.label], vdos.get(source.label), without[source.label])
            for source in sources
        ),
        overlaps=(*_overlaps("rdf", rdf), *_overlaps("vdos", vdos)),
        r_max_angstrom=float(next(iter(rdf.values())).edges[-1]),
        bin_width_angstrom=job.bin_width_angstrom,
        max_frequency_thz=highest if vdos else None,
        resolution_thz=width,
        wall_seconds=time.monotonic() - began,
    )


def _no_vdos(source: Source, job: CompareInput, highest: float) -> str:
    """Return why a trajectory gives no density of states, with the remedy; empty where it does."""
    if job.vdos == "off":
        return "not asked for"
    name = source.label
    if source.interval_ps is None:
        return f"{source.file} holds no times: give its frame interval (--frame-interval-fs)"
    longest = longest_interval_fs(highest)
    if 1000 * source.interval_ps > 1.001 * longest:
        return (
            f"{name} has frames {1000 * source.interval_ps:g} fs apart, vibrations up to "
            f"{highest:g} THz need frames every ≤ {longest:.3g} fs"
        )
    needed = 2 * LEAST_RESOLVED * HANN_WIDTH / highest
    if (source.duration_ps or 0.0) < needed:
        return f"{name} is {source.duration_ps:.3g} ps long: {needed:.2g} ps are needed at least"
    return ""


def _rdf(source: Source, job: CompareInput, step: Step) -> RdfCurves:
    trajectory, done = source.trajectory, 0
    counter = RdfCounter(
        trajectory.numbers, trajectory.cell, job.r_max_angstrom, job.bin_width_angstrom
    )
    for block in trajectory.iter_blocks(start=source.start):
        if not np.isfinite(block).all():
            raise ValueError(f"{source.file}: positions of some frames are not finite")
        counter.add(block)
        done += len(block)
        step(f"g(r), {source.label}", done, source.n_frames)
    return counter.curves(job.time_blocks)


def _vdos(
    sources: list[Source], job: CompareInput, highest: float, warnings: list[str], step: Step
) -> tuple[dict[str, SampledCurves], float]:
    """Return densities of states on one axis and with one resolution, and the resolution."""
    durations = {source.label: source.duration_ps or 0.0 for source in sources}
    shortest = min(durations, key=durations.__getitem__)
    wanted = HANN_WIDTH / job.resolution_thz
    segment = min(wanted, durations[shortest] / 2)
    width = resolution_thz(segment)
    if segment < wanted:
        warnings.append(
            f"the density of states is resolved to {width:.2g} THz, not {job.resolution_thz:g}: "
            f"{shortest} is {durations[shortest]:.3g} ps long, {2 * wanted:.2g} ps are needed"
        )
    top = min(highest, *(0.5 / (source.interval_ps or 1.0) for source in sources))
    points = max(FEWEST_POINTS, int(np.ceil(POINTS_PER_LINE * top / width)))
    frequency = np.linspace(0.0, top, points + 1)
    curves = {}
    for source in sources:
        sampler = _sampler(source, segment, step)
        curves[source.label] = sampler.curves(frequency, job.time_blocks)
        if (share := sampler.share_near_nyquist()) > NEAR_NYQUIST:
            warnings.append(
                f"{source.label}: {share:.0%} of the power lies close to {sampler.nyquist_thz:.3g} "
                "THz, the most that its frames resolve; faster vibrations may be folded into it: "
                "write frames more often"
            )
    return curves, width


def _sampler(source: Source, segment_ps: float, step: Step) -> VdosSampler:
    trajectory, interval = source.trajectory, source.interval_ps or 1.0
    stored = trajectory.has_velocities
    sampler = VdosSampler(trajectory.numbers, interval, segment_ps, from_positions=not stored)
    velocities = (
        trajectory.iter_velocities(start=source.start)
        if stored
        else finite_differences(
            trajectory.iter_blocks(start=source.start), trajectory.cell, interval
        )
    )
    done = 0 if stored else 1
    for block in velocities:
        sampler.add(block)
        done += len(block)
        step(f"vibrations, {source.label}", done, source.n_frames)
    return sampler


def _summary(
    source: Source, rdf: RdfCurves, vdos: SampledCurves | None, no_vdos: str
) -> SourceSummary:
    peaks = rdf.mean.argmax(axis=1)
    return SourceSummary(
        label=source.label,
        file=source.file,
        symbol_counts=source.symbol_counts,
        frames=source.n_frames,
        frame_interval_fs=None if source.interval_ps is None else 1000 * source.interval_ps,
        duration_ps=source.duration_ps,
        temperature_k=source.trajectory.mean_temperature_k(source.start),
        atoms_per_angstrom3=source.atoms_per_angstrom3,
        highest_peaks={
            name: HighestPeak(r_angstrom=float(rdf.x[peak]), g=float(rdf.mean[row, peak]))
            for row, (name, peak) in enumerate(zip(rdf.names, peaks, strict=True))
        },
        rdf_halves=_halves(rdf),
        vdos_halves={} if vdos is None else _halves(vdos),
        vdos_from=None
        if vdos is None
        else ("velocities" if source.trajectory.has_velocities else "positions"),
        no_vdos=no_vdos,
    )


def _halves(curves: SampledCurves) -> dict[str, float]:
    if not len(curves.without):
        return {}
    return dict(zip(curves.names, curves.halves_overlap().tolist(), strict=True))


def _overlaps(
    quantity: Literal["rdf", "vdos"], found: Mapping[str, SampledCurves]
) -> list[CurveOverlap]:
    def known(value: float) -> float | None:
        return value if np.isfinite(value) else None

    return [
        CurveOverlap(
            quantity=quantity,
            name=name,
            first=first,
            second=second,
            overlap=entry.overlap,
            overlap_error=known(entry.overlap_error),
            mean_absolute_difference=entry.difference,
            mean_absolute_difference_error=known(entry.difference_error),
        )
        for first, second in combinations(found, 2)
        for name, entry in found[first].compared_with(found[second]).items()
    ]
