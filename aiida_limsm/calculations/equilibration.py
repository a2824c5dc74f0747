"""Calcfunction that compares the halves of an MD run, to tell whether it was equilibrated."""

from __future__ import annotations

import csv
import math
from typing import Any

import numpy as np
from aiida import orm
from aiida.engine import calcfunction
from numpy.typing import NDArray

from ._correlation import autocorrelation, statistical_inefficiency

__all__ = ["check_equilibration", "compare_halves"]

#: Halves that differ by more than this many errors are told. Not two: the correlation time of a
#: short run is itself uncertain.
DIFFERENCE_SIGMA = 3.0
#: Fewer rows say nothing about correlation.
MIN_ROWS = 20
COLUMNS = {"temperature_k": "temperature (K)", "potential_energy_ev": "potential energy (eV)"}
TABLE = "thermo.csv"


@calcfunction
def check_equilibration(retrieved: orm.FolderData) -> orm.Dict:
    """Compare the two halves of the production of every run in a folder of ``limsm md``.

    Parameters
    ----------
    retrieved
        Holds ``thermo.csv``, of several runs in folders ``runs/…``.

    Returns
    -------
    Dict
        ``runs``: for each table, temperature and potential energy of both halves with errors, and
        their difference in errors (None where the run is too short to say); ``warnings``.
    """
    runs: list[dict[str, Any]] = []
    warnings: list[str] = []
    for folder, _, files in retrieved.base.repository.walk():
        if TABLE not in files:
            continue
        path = (folder / TABLE).as_posix()
        series = read_production(retrieved.base.repository.get_object_content(path, "r"))
        halves = {name: compare_halves(series[name]) for name in COLUMNS}
        runs.append({"table": path, "rows": len(series["step"]), **halves})
        where = "" if path == TABLE else f"{folder.as_posix()}: "
        for name, words in COLUMNS.items():
            found = halves[name]
            if found is not None and abs(found["difference_sigma"]) > DIFFERENCE_SIGMA:
                warnings.append(
                    f"{where}{words} of the two halves: {found['first']:.6g} and "
                    f"{found['second']:.6g}, {abs(found['difference_sigma']):.1f} errors apart; "
                    "equilibrate longer, or leave out the beginning with skip_ps"
                )
    runs.sort(key=lambda run: str(run["table"]))
    return orm.Dict({"runs": runs, "warnings": sorted(warnings)})


def read_production(text: str) -> dict[str, NDArray[np.float64]]:
    """Return step and :data:`COLUMNS` of the rows of production."""
    rows = [row for row in csv.DictReader(text.splitlines()) if int(row["step"]) >= 0]
    return {
        name: np.array([float(row[name]) for row in rows], dtype=np.float64)
        for name in ("step", *COLUMNS)
    }


def compare_halves(series: NDArray[np.float64]) -> dict[str, float] | None:
    """Compare the means of the two halves of a series.

    The error of a mean is σ √(g / n), with the statistical inefficiency g of its half.

    Parameters
    ----------
    series
        Shape (n,), at equal steps of time.

    Returns
    -------
    dict or None
        Means and errors of the halves, their difference in its errors; None for a series that is
        too short or does not vary.
    """
    if len(series) < MIN_ROWS:
        return None
    means, errors = [], []
    for half in np.array_split(series, 2):
        rho = autocorrelation(half[:, None])
        if rho is None:
            return None
        means.append(float(half.mean()))
        error = half.std(ddof=1) * math.sqrt(statistical_inefficiency(rho) / len(half))
        errors.append(float(error))
    return {
        "first": means[0],
        "first_error": errors[0],
        "second": means[1],
        "second_error": errors[1],
        "difference_sigma": (means[1] - means[0]) / math.hypot(*errors),
    }
