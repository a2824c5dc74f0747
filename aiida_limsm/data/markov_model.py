"""A Markov state model over lattice sites as a node."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from aiida.common.exceptions import ValidationError
from aiida.orm import SinglefileData
from numpy.typing import ArrayLike, NDArray

from aiida_limsm.compute.base import MODEL_FILENAME, Status
from aiida_limsm.compute.results import AnalyseResults, JumpSummary, SiteSummary
from aiida_limsm.files import sha256_of_stream
from aiida_limsm.report.format import format_table
from aiida_limsm.report.words import deviation_text, ratio_text, timescale_texts

from ._content import as_model, attributes_as_model, check_stored_sha256

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiida_limsm.markov.curves import Curves
    from aiida_limsm.markov.metastable import MetastableSets
    from aiida_limsm.markov.model import MarkovModel
    from aiida_limsm.markov.propagation import Method
    from aiida_limsm.markov.spectrum import Spectrum

#: How a job went is not what it found; two runs of one analysis are one model.
_NOT_CONTENT = {"status", "message", "model_file", "figures", "wall_seconds"}


class MarkovModelData(SinglefileData):
    """Sites, jumps and the transition matrix of the mobile ions.

    Parameters
    ----------
    file : str, Path or binary file object
        ``model.h5`` as ``limsm analyse`` writes it.
    results : AnalyseResults or dict
        The ``results.json`` that came with it.
    """

    #: Name of the file inside the repository, the same everywhere.
    FILENAME = MODEL_FILENAME

    def __init__(
        self,
        file: str | Path | BinaryIO,
        results: AnalyseResults | dict[str, Any],
        **kwargs: Any,
    ) -> None:
        if isinstance(file, (str, Path)):
            file = str(Path(file).resolve())
        super().__init__(file=file, filename=self.FILENAME, **kwargs)
        content = as_model(AnalyseResults, results).model_dump(
            mode="json", by_alias=True, exclude=_NOT_CONTENT
        )
        with self.base.repository.open(self.FILENAME, mode="rb") as stream:
            content["sha256"] = sha256_of_stream(stream)
        self.base.attributes.set_many(content)

    @property
    def results(self) -> AnalyseResults:
        """What the analysis reported."""
        return attributes_as_model(self, AnalyseResults, {"status": Status.FINISHED})

    @property
    def lag_time_ps(self) -> float:
        """Lag time in ps."""
        return float(self.base.attributes.get("lag_time_ps"))

    @property
    def lag_reason(self) -> str:
        """Why this lag was taken."""
        return str(self.base.attributes.get("lag_reason"))

    @property
    def temperature_k(self) -> float | None:
        """Mean temperature of the trajectories in K, None when it was not recorded."""
        temperature = self.base.attributes.get("temperature_k")
        return None if temperature is None else float(temperature)

    @property
    def species(self) -> str:
        """Chemical symbol of the mobile ions."""
        return str(self.base.attributes.get("species"))

    @property
    def n_ions(self) -> int:
        """Number of mobile ions."""
        return int(self.base.attributes.get("n_ions"))

    @property
    def sites(self) -> tuple[SiteSummary, ...]:
        """The sites with their occupancy and amplitude of vibration."""
        return tuple(SiteSummary.model_validate(row) for row in self.base.attributes.get("sites"))

    @property
    def jumps(self) -> tuple[JumpSummary, ...]:
        """Kinds of jump with lattice image, vector, count and rate, most frequent first."""
        return tuple(JumpSummary.model_validate(row) for row in self.base.attributes.get("jumps"))

    @property
    def implied_timescales_ps(self) -> NDArray[np.float64]:
        """Implied timescales with their bootstrap errors, slowest first.

        Returns
        -------
        ndarray, shape (n, 2)
            Timescale and error in ps; NaN where there is no error.
        """
        scales = self.base.attributes.get("implied_timescales_ps")
        errors = self.base.attributes.get("implied_timescales_error_ps")
        return np.array([scales, errors], dtype=float).T.reshape(-1, 2)

    def load(self) -> MarkovModel:
        """Read the model, with all its methods, into memory."""
        from aiida_limsm.markov.model import MarkovModel

        with self.as_path() as path:
            return MarkovModel.load(path)

    def curves(self) -> Curves:
        """Read the curves of the analysis: D over the lag, mean-square displacements over time."""
        from aiida_limsm.markov.io import read_curves

        with self.as_path() as path:
            return read_curves(path)

    def msd(self, times_ps: ArrayLike) -> NDArray[np.float64]:
        """Return the model's mean-square displacement in Å² at any times, shape (n_times,).

        It is that of the sites: vibration about a site comes on top of it.
        """
        return self.load().msd(times_ps)

    def diffusion_tensor(self, correlated: bool = True) -> NDArray[np.float64]:
        """Return the model's diffusion tensor in cm²/s, shape (3, 3).

        With ``correlated`` False successive jumps are taken as independent. It has no error here:
        quote the :class:`~aiida_limsm.data.diffusion.DiffusionData` made with this model.
        """
        return self.load().diffusion_tensor(correlated)

    def spectrum(self, number: int | None = None) -> Spectrum:
        """Return the slowest processes: relaxation times and their maps over the sites."""
        return self.load().spectrum(number)

    def metastable_sets(self, number: int | None = None) -> MetastableSets:
        """Group the sites into sets among which ions relax fast (PCCA+)."""
        from aiida_limsm.markov.metastable import metastable_sets

        return metastable_sets(self.load(), number)

    def propagate(
        self, density: ArrayLike, times_ps: ArrayLike, method: Method = "auto"
    ) -> Iterator[NDArray[np.float64]]:
        """Carry a distribution of ions on in time, in a periodic box of many cells.

        Parameters
        ----------
        density
            Ions on every site at the start, shape (L1, L2, L3, n_sites).
        times_ps
            Ascending.
        method
            As of :func:`aiida_limsm.markov.propagation.propagate`.

        Yields
        ------
        ndarray, shape (L1, L2, L3, n_sites)
            The distribution at each of the times.
        """
        from aiida_limsm.markov.propagation import propagate

        return propagate(self.load(), density, times_ps, method)

    def headline(self) -> str:
        """Return one line for a listing."""
        results = self.results
        at = "" if results.temperature_k is None else f", {results.temperature_k:.0f} K"
        sites = len(results.sites)
        return (
            f"{sites} site{'' if sites == 1 else 's'}, lag {self.lag_time_ps:g} ps, "
            f"{results.n_independent_jumps} independent jumps{at}"
        )

    def summary(self) -> str:
        """Return a few lines that say what the model rests on."""
        results = self.results
        reason = f" ({self.lag_reason})" if self.lag_reason else ""
        rows = [
            (
                "sampling",
                f"{results.n_ions} ions, {results.n_frames} frames, {results.duration_ps:g} ps",
            ),
            ("sites", f"{len(results.sites)} ({results.assignment}, pooled: {results.pool})"),
            ("jumps", f"{results.n_jumps}, independent: {results.n_independent_jumps}"),
            ("lag", f"{self.lag_time_ps:g} ps{reason}"),
        ]
        if results.temperature_k is not None:
            rows.append(("temperature", f"{results.temperature_k:.0f} K"))
        if results.implied_timescales_ps:
            rows.append(("slowest timescale", timescale_texts(results)[0]))
        if results.ck_max_deviation is not None:
            rows.append(("Chapman-Kolmogorov", deviation_text(results)))
        rows.append(("correlation factor", ratio_text(results.correlation_factor)))
        rows.append(("Haven ratio", ratio_text(results.haven_ratio)))
        rows += [("warning", text) for text in results.warnings]
        return "Markov state model\n" + format_table(rows)

    def _validate(self) -> bool:
        super()._validate()  # type: ignore[no-untyped-call]
        results = self.results
        check_stored_sha256(self, self.filename, self.base.attributes.get("sha256"))
        lag = results.lag_time_ps
        if lag is None or lag <= 0:
            raise ValidationError(f"lag_time_ps: a model has a positive lag time, not {lag}")
        if not results.sites:
            raise ValidationError("sites: a model has at least one site")
        for name in ("n_ions", "n_frames"):
            if getattr(results, name) < 1:
                raise ValidationError(f"{name}: must be at least 1, not {getattr(results, name)}")
        try:
            in_file = self.load().lag_ps
        except ValueError as error:
            # Without the temporary folder that the file was opened in.
            raise ValidationError(self.filename + str(error).split(self.filename)[-1]) from None
        if abs(in_file - lag) > 1e-9 * lag:
            raise ValidationError(f"lag_time_ps: {in_file:g} in the file, {lag:g} in the results")
        return True
