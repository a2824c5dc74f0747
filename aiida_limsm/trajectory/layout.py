"""Find positions, species, cell and times in an H5MD file, whoever wrote it.

H5MD (de Buyl, Colberg & Höfling, Comput. Phys. Commun. 185, 1546 (2014)) leaves much to the writer:
the name of the group, units, a cell per frame or one for all, times as a series or as a step. This
module knows the variants of MDAnalysis, znh5md, LAMMPS and GROMACS as well as our own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np

from ..markov.arrays import FloatArray, IntArray
from .salvage import whole_rows

__all__ = ["CELL_TOLERANCE", "Layout", "has_one_cell", "read_cells", "read_layout"]

CELL_TOLERANCE = 1e-4
"""Å; a cell whose vectors move by more than this is not constant."""

TIME_TOLERANCE = 1e-3
"""Of the frame interval; times written in single precision scatter by less."""

SCAN_ROWS = 200_000
"""Rows of a series looked at in one go: bounds the memory."""

LENGTHS = {"angstrom": 1.0, "a": 1.0, "å": 1.0, "nm": 10.0, "pm": 0.01}
TIMES = {"ps": 1.0, "fs": 1e-3, "ns": 1e3, "s": 1e12, "sec": 1e12, "second": 1e12}
SPEEDS = {
    f"{length}{join}{time}{power}": value / TIMES[time]
    for length, value in LENGTHS.items()
    for time in ("ps", "fs", "ns")
    for join, power in ((" ", "-1"), ("/", ""))
}


@dataclass(frozen=True)
class Layout:
    """What a file holds, and where.

    Attributes
    ----------
    position, image
        Datasets (n, n_atoms, 3); ``image`` counts the cells that wrapping took off, or is None.
    scale
        Å per unit of ``position``.
    n_frames
        Whole frames.
    numbers
        Atomic numbers, (n_atoms,).
    cell
        In the first frame, rows are vectors, Å.
    cell_changes_at
        First frame with another cell; None where it is constant.
    interval_ps
        Time between frames.
    steps, times
        Datasets, or None.
    time_scale
        ps per unit of ``times``.
    velocity
        Dataset (n, n_atoms, 3), or None where there is none that can be used.
    velocity_scale
        Å/ps per unit of ``velocity``.
    remarks
        What was odd.
    """

    position: Any
    image: Any
    scale: float
    n_frames: int
    numbers: IntArray
    cell: FloatArray
    cell_changes_at: int | None
    interval_ps: float
    steps: Any
    times: Any
    time_scale: float
    velocity: Any
    velocity_scale: float
    remarks: tuple[str, ...]


def read_layout(
    file: h5py.File,
    name: str,
    interval_ps: float | None = None,
    numbers: IntArray | None = None,
    size: int | None = None,
) -> Layout:
    """Read everything but the positions.

    Parameters
    ----------
    file
        Open.
    name
        Of the file, for errors.
    interval_ps
        Time between frames where the file has none, or to overrule it.
    numbers
        Atomic numbers where the file has none, or to overrule them.
    size
        Bytes that are there, where the file was cut short.

    Raises
    ------
    ValueError
        One line that says what is missing or does not fit, and the remedy.
    """
    group = _particles(file, name)
    position = group["position/value"]
    if position.ndim != 3 or position.shape[2] != 3:
        raise ValueError(f"{name}: positions have the shape {position.shape}, not (n, atoms, 3)")
    image = group.get("image/value")
    n_frames = len(position)
    if size is not None:
        n_frames = min(whole_rows(series, size) for series in (position, image) if series)
    if n_frames == 0:
        raise ValueError(f"{name} holds no {'whole ' if size is not None else ''}frame")
    if image is not None and image.shape != position.shape:
        raise ValueError(f"{name}: images have another shape than positions")
    remarks: list[str] = []
    scale = _unit(position, LENGTHS, name, "positions", "Å", remarks)
    cell, changes = _cell(group, name, n_frames, scale, size)
    steps, times = group.get("position/step"), group.get("position/time")
    time_scale = 1.0
    timed = n_frames
    if size is not None and times is not None and times.ndim == 1:
        timed = min(n_frames, whole_rows(times, size))
    if times is not None and "frame_interval_ps" not in _attributes(group):
        time_scale = _unit(times, TIMES, name, "times", "ps", remarks)
    interval = _interval(group, times, timed, time_scale, name, interval_ps, remarks)
    _check_order(group, name, n_frames)
    velocity, velocity_scale = _velocity(group, n_frames, position, size)
    return Layout(
        position=position,
        image=image,
        scale=scale,
        n_frames=n_frames,
        numbers=_numbers(group, name, position.shape[1], numbers),
        cell=cell,
        cell_changes_at=changes,
        interval_ps=interval,
        steps=steps if size is None and _is_series(steps, n_frames) else None,
        times=times if size is None and _is_series(times, n_frames) else None,
        time_scale=time_scale,
        velocity=velocity,
        velocity_scale=velocity_scale,
        remarks=tuple(remarks),
    )


def _particles(file: h5py.File, name: str) -> Any:
    """Return the one group of particles with positions."""
    groups = file.get("particles")
    if not isinstance(groups, h5py.Group):
        raise ValueError(f"{name} is no H5MD file: it has no group 'particles'")
    found = [key for key in groups if f"{key}/position/value" in groups]
    if len(found) != 1:
        raise ValueError(
            f"{name} has "
            + (f"several groups of particles ({', '.join(found)})" if found else "no positions")
            + ": one group is needed"
        )
    return groups[found[0]]


def _attributes(group: Any) -> Any:
    return group["position"].attrs


def _velocity(group: Any, n_frames: int, position: Any, size: int | None) -> tuple[Any, float]:
    """Return velocities of all frames with the factor of their unit; None where they do not fit."""
    value = group.get("velocity/value")
    if value is None or size is not None or value.shape[1:] != position.shape[1:]:
        return None, 1.0
    scale = SPEEDS.get(_text(value.attrs.get("unit", "")).strip().lower())
    if scale is None or len(value) < n_frames or not np.isfinite(value[0]).all():
        return None, 1.0
    return value, scale


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _unit(
    dataset: Any,
    known: dict[str, float],
    name: str,
    what: str,
    assumed: str,
    remarks: list[str],
) -> float:
    """Return the factor of a dataset's unit; what has none is taken in ours, and that is said."""
    unit = dataset.attrs.get("unit")
    if unit is None:
        remarks.append(f"{name}: {what} have no unit, taken as {assumed}")
        return 1.0
    text = _text(unit).strip().lower()
    if text not in known:
        raise ValueError(f"{name}: {what} are in '{_text(unit)}', which is none of {list(known)}")
    return known[text]


def _numbers(group: Any, name: str, n_atoms: int, given: IntArray | None) -> IntArray:
    if given is not None:
        if len(given) != n_atoms:
            raise ValueError(
                f"{name} has {n_atoms} atoms, the structure that names them (topology) {len(given)}"
            )
        return given
    species = group.get("species")
    if isinstance(species, h5py.Group):
        species = species.get("value")
    if species is None:
        raise ValueError(
            f"{name} does not name its atoms: give a structure that does (--topology FILE)"
        )
    row = species[0] if species.ndim == 2 else species[()]
    values = np.asarray(row)
    named = h5py.check_enum_dtype(species.dtype)
    if named:
        from ase.data import atomic_numbers

        table = {value: atomic_numbers.get(key, 0) for key, value in named.items()}
        values = np.array([table.get(int(value), 0) for value in values])
    numbers = values.astype(np.int64)
    if numbers.shape != (n_atoms,) or (numbers < 1).any() or (numbers > 118).any():
        raise ValueError(
            f"{name}: its species are no atomic numbers: name the atoms with --topology FILE"
        )
    return numbers


def _matrix(edges: Any, scale: float) -> FloatArray:
    """Return cells (n, 3, 3) from edge lengths or vectors."""
    values = np.asarray(edges, dtype=np.float64) * scale
    if values.shape[-1:] == (3,) and values.shape[-2:] != (3, 3):
        values = values[..., None] * np.eye(3)
    return values


def _cell(
    group: Any, name: str, n_frames: int, scale: float, size: int | None
) -> tuple[FloatArray, int | None]:
    """Return the cell of the first frame and the first frame that has another one."""
    edges = group.get("box/edges")
    if edges is None:
        raise ValueError(f"{name} has no cell (box/edges): nothing periodic can be analysed")
    if not isinstance(edges, h5py.Group):
        return _checked(_matrix(edges[()], scale), name), None
    series = edges["value"]
    if series.ndim == 2 and series.shape == (3, 3) and len(series) != n_frames:
        return _checked(_matrix(series[()], scale), name), None
    rows = n_frames if size is None else max(1, min(n_frames, whole_rows(series, size)))
    cell = _checked(_matrix(series[:1], scale)[0], name)
    if series.attrs.get("constant", False):
        return cell, None
    for begin in range(0, min(rows, len(series)), SCAN_ROWS):
        block = _matrix(series[begin : min(begin + SCAN_ROWS, rows)], scale)
        moved = np.abs(block - cell).max(axis=(1, 2)) > CELL_TOLERANCE
        if moved.any():
            return cell, begin + int(np.argmax(moved))
    return cell, None


def has_one_cell(layout: Layout) -> bool:
    """Tell whether the cell is stored once, or marked as the same in every frame."""
    edges = layout.position.parent.parent["box/edges"]
    if not isinstance(edges, h5py.Group):
        return True
    series = edges["value"]
    return bool(series.attrs.get("constant", False)) or len(series) < layout.n_frames


def read_cells(layout: Layout, start: int, stop: int) -> FloatArray:
    """Return the cells of some frames of a file with a cell per frame, (n, 3, 3), Å."""
    edges = layout.position.parent.parent["box/edges/value"]
    return _matrix(edges[start:stop], layout.scale)


def _checked(cell: FloatArray, name: str) -> FloatArray:
    if cell.shape != (3, 3) or not np.isfinite(cell).all() or abs(np.linalg.det(cell)) < 1e-6:
        raise ValueError(f"{name} has no three-dimensional cell")
    return cell


def _is_series(dataset: Any, n_frames: int) -> bool:
    return dataset is not None and dataset.ndim == 1 and len(dataset) >= n_frames


def _interval(
    group: Any,
    times: Any,
    n_frames: int,
    time_scale: float,
    name: str,
    given: float | None,
    remarks: list[str],
) -> float:
    """Return the time between frames, ps; times that are not evenly spaced are refused."""
    own = _attributes(group).get("frame_interval_ps")
    found = None if own is None else float(own)
    if found is None and times is not None and times.ndim == 0 and float(times[()]) > 0:
        found = float(times[()]) * time_scale
    if found is None and _is_series(times, n_frames) and n_frames > 1:
        try:
            found = _even(times, n_frames, name) * time_scale
        except ValueError:
            if given is None:
                raise
    if given is None and found is None:
        raise ValueError(f"{name} holds no times: give the frame interval (--frame-interval-fs)")
    if given is not None and found is not None and abs(given - found) > TIME_TOLERANCE * found:
        remarks.append(
            f"{name}: frames are {1000 * found:g} fs apart by the file, {1000 * given:g} fs as "
            "asked: the latter is used"
        )
    interval = given if given is not None else found
    assert interval is not None
    if not interval > 0:
        raise ValueError(f"{name}: the frame interval must be positive, not {1000 * interval:g} fs")
    return interval


def _even(times: Any, n_frames: int, name: str) -> float:
    """Return the mean step of a series of times, in its unit."""
    first, second, last = (float(times[row]) for row in (0, 1, n_frames - 1))
    step = second - first
    rounding = 4 * float(np.finfo(times.dtype).eps) * max(abs(first), abs(last))
    for begin in range(0, n_frames - 1, SCAN_ROWS):
        block = np.asarray(times[begin : min(begin + SCAN_ROWS + 1, n_frames)], dtype=np.float64)
        odd = np.abs(np.diff(block) - step) > TIME_TOLERANCE * abs(step) + rounding
        if odd.any() or not step > 0:
            at = begin + int(np.argmax(odd)) + 1
            raise ValueError(
                f"{name}: frames are not evenly spaced in time (frame {at} at {block[at - begin]:g}"
                f" after {block[at - begin - 1]:g}): remove repeated frames, or give "
                "--frame-interval-fs if the times are wrong"
            )
    return (last - first) / (n_frames - 1)


def _check_order(group: Any, name: str, n_frames: int) -> None:
    """Refuse files that say that atoms change places in the list (LAMMPS writes ``id``)."""
    ids = group.get("id/value")
    if ids is None or ids.ndim != 2:
        return
    first = ids[0]
    if any(not np.array_equal(ids[row], first) for row in (n_frames // 2, n_frames - 1)):
        raise ValueError(
            f"{name}: atoms change their order between frames: write them sorted by id"
        )
