"""The projected trajectory: every ion on the site it is assigned to, frame by frame, as H5MD."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..files import whole_file
from ..markov.msd import site_blocks
from ..markov.paths import SitePaths
from ..markov.sites import SiteLattice
from ..trajectory.ions import IonStream
from ..trajectory.writer import H5mdFile

__all__ = ["write_projected"]


def write_projected(
    paths: SitePaths, lattice: SiteLattice, streams: Sequence[IonStream], folder: Path
) -> tuple[str, ...]:
    """Write ``projected.h5``, or ``projected-1.h5`` and on for several trajectories.

    The files hold the mobile ions only, unwrapped, in the frame of the sites (drift and offset of
    the framework taken off).

    Parameters
    ----------
    paths
        Of all ions, those of one trajectory after those of the other.
    lattice
        The sites.
    streams
        The trajectories.
    folder
        Where.

    Returns
    -------
    tuple of str
        Names of the files.
    """
    names, first = [], 0
    for number, stream in enumerate(streams, start=1):
        name = "projected.h5" if len(streams) == 1 else f"projected-{number}.h5"
        trajectory = stream.trajectory
        with (
            whole_file(folder / name) as temporary,
            H5mdFile(
                temporary,
                trajectory.numbers[stream.ions],
                trajectory.cell,
                stream.frame_interval_ps,
                observables=False,
            ) as file,
        ):
            own = paths.select(first, first + stream.n_ions)
            for block in site_blocks(own, lattice):
                file.append(block, file.n_frames + np.arange(len(block)))
        names.append(name)
        first += stream.n_ions
    return tuple(names)
