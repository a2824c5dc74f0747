"""Energy zero of each element, fitted to labelled frames."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase.formula import Formula


def fitted_e0s(
    compositions: Sequence[Sequence[str]], energies_ev: Sequence[float]
) -> dict[str, float]:
    """Return the energies per atom of each element that reproduce total energies best.

    The least squares solution of E = Σ n_X E0(X) over all frames.

    Parameters
    ----------
    compositions
        Symbols of the atoms of each frame.
    energies_ev
        Total energy of each frame.

    Raises
    ------
    ValueError
        If the compositions do not tell the elements apart.
    """
    elements = sorted({symbol for symbols in compositions for symbol in symbols})
    counts = np.array(
        [[list(symbols).count(element) for element in elements] for symbols in compositions]
    )
    unique = np.unique(counts, axis=0)
    if np.linalg.matrix_rank(unique) < len(elements):
        formulas = sorted({Formula("".join(symbols)).format("hill") for symbols in compositions})
        raise ValueError(
            f"e0s='fitted': {', '.join(elements)} cannot be told apart by the compositions of the "
            f"training frames ({', '.join(formulas)}): use e0s='isolated' with isolated_atoms, or "
            "add frames of other compositions"
        )
    solution = np.linalg.lstsq(counts.astype(float), np.asarray(energies_ev, float), rcond=None)[0]
    return dict(zip(elements, map(float, solution), strict=True))
