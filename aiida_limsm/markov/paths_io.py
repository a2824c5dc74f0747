"""Site sequences in HDF5: a few bytes a jump, whatever the number of frames."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from ..files import whole_file
from .paths import SitePaths

__all__ = ["load_paths", "save_paths"]

FORMAT = "aiida-limsm site paths"


def save_paths(paths: SitePaths, frame_interval_ps: float, path: Path) -> None:
    """Write the paths of all ions atomically; the same paths give the same bytes.

    The file holds the fields of :class:`SitePaths`. Sites are numbered as in the model file
    written beside it.
    """
    with whole_file(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["format"] = FORMAT
        file.attrs["frame_interval_ps"] = frame_interval_ps
        for name, kind in (
            ("first_run", np.int64), ("start", np.int64), ("site", np.int32),
            ("image", np.int32), ("frames", np.int64),
        ):  # fmt: skip
            file.create_dataset(
                name, data=getattr(paths, name).astype(kind), compression="gzip", shuffle=True,
                compression_opts=1, track_times=False,
            )  # fmt: skip


def load_paths(path: Path) -> tuple[SitePaths, float]:
    """Read paths written by :func:`save_paths`; return them and the frame interval, ps.

    Raises
    ------
    ValueError
        The file is none of ours.
    """
    try:
        with h5py.File(path, "r") as file:
            if file.attrs.get("format") != FORMAT:
                raise ValueError(f"{path} holds no site paths of aiida-limsm")
            fields = {
                name: file[name][()].astype(np.int64)
                for name in ("first_run", "start", "site", "image", "frames")
            }
            return SitePaths(**fields), float(file.attrs["frame_interval_ps"])
    except OSError as error:
        raise ValueError(f"{path} is no readable HDF5 file") from error
