"""Wyckoff orbits of a crystal's atoms, with spglib."""

from __future__ import annotations

import numpy as np
import spglib

from .arrays import FloatArray, IntArray

__all__ = ["primitive_cell", "space_group", "wyckoff_orbits"]


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


def primitive_cell(
    cell: FloatArray, scaled_positions: FloatArray, numbers: IntArray, tolerance: float = 0.02
) -> tuple[FloatArray, IntArray] | None:
    """Return a primitive cell (rows, Å, not rotated) and each atom's index in it.

    None where the cell is primitive already, or spglib finds no symmetry. Species numbers need
    only tell species apart.
    """
    dataset = spglib.get_symmetry_dataset(
        (cell.tolist(), scaled_positions.tolist(), (numbers + 1).tolist()), symprec=tolerance
    )
    if dataset is None:
        return None
    mapping = np.asarray(dataset.mapping_to_primitive, dtype=np.int64)
    if len(np.unique(mapping)) == len(numbers):
        return None
    # spglib's cell may differ from the lattice by the tolerance: fit it to tile the cell exactly
    primitive = np.asarray(dataset.primitive_lattice, dtype=np.float64)
    matrix = np.rint(cell @ np.linalg.inv(primitive))
    return np.asarray(np.linalg.solve(matrix, cell), dtype=np.float64), mapping


def space_group(
    cell: FloatArray, scaled_positions: FloatArray, numbers: IntArray, tolerance: float = 0.02
) -> tuple[IntArray, FloatArray]:
    """Return the operations x → W x + w of a crystal, in fractions of ``cell``.

    Returns
    -------
    rotations, translations
        W, integers (n, 3, 3), and w, (n, 3), acting on columns. Translations of a cell that is not
        primitive are among them; where spglib finds no symmetry, the identity alone.
    """
    dataset = spglib.get_symmetry_dataset(
        (cell.tolist(), scaled_positions.tolist(), numbers.tolist()), symprec=tolerance
    )
    if dataset is None:
        return np.eye(3, dtype=np.int64)[None], np.zeros((1, 3))
    return (
        np.asarray(dataset.rotations, dtype=np.int64),
        np.asarray(dataset.translations, dtype=np.float64),
    )
