"""The points of ``limsm evaluate``: labels and predictions, a group per dataset (HDF5).

``n_atoms`` (F,), ``numbers`` (A,), ``energy`` (F, 2), ``forces`` (A, 2, 3) and ``stress``
(F, 2, 3, 3), label first; of a committee ``committee_mean`` (A, 3), ``committee_spread`` and
``committee_error`` (A,).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["PARITY_FILENAME", "read_points"]

PARITY_FILENAME = "parity.h5"


def read_points(path: Path, label: str) -> dict[str, NDArray[Any]]:
    """Return labels, predictions and the committee's spread of one dataset.

    Raises
    ------
    ValueError
        The file cannot be read or holds no such dataset.
    """
    import h5py
    import numpy as np

    try:
        with h5py.File(path, "r") as file:
            return {name: np.asarray(values[()]) for name, values in file[label].items()}
    except (OSError, KeyError) as error:
        raise ValueError(f"{path} holds no points of {label}: {error}") from error
