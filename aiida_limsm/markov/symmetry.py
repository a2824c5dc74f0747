"""Wyckoff orbits of a crystal's atoms, with spglib."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import spglib

__all__ = ["wyckoff_orbits"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def wyckoff_orbits(
    cell: FloatArray, scaled_positions: FloatArray, numbers: IntArray, tolerance: float = 0.02
) -> tuple[list[str], IntArray]:
    """Return the Wyckoff label (such as ``8c``) and multiplicity of every atom.

    Parameters
    ----------
    cell
        Cell vectors as rows, shape (3, 3), Å.
    scaled_positions
        Shape (n_atoms, 3).
    numbers
        Atomic numbers, shape (n_atoms,).
    tolerance
        spglib's distance tolerance, Å.

    Returns
    -------
    labels, multiplicities
        The multiplicity is that of the conventional standard cell, as in the International
        Tables. Where spglib finds no symmetry every atom is its own orbit ``1a``.
    """
    dataset = spglib.get_symmetry_dataset(
        (cell.tolist(), scaled_positions.tolist(), numbers.tolist()), symprec=tolerance
    )
    if dataset is None:
        return ["1a"] * len(numbers), np.ones(len(numbers), dtype=np.int64)
    orbits = np.asarray(dataset.crystallographic_orbits)
    conventional = len(dataset.std_types) / len(numbers)
    sizes = np.bincount(orbits, minlength=len(numbers))[orbits]
    multiplicities = np.rint(sizes * conventional).astype(np.int64)
    letters = dataset.wyckoffs
    labels = [f"{m}{letter}" for m, letter in zip(multiplicities, letters, strict=True)]
    return labels, multiplicities
