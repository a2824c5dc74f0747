"""A Markov state model over lattice sites as a node."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from aiida.common.exceptions import ValidationError
from aiida.orm import SinglefileData
from numpy.typing import ArrayLike, NDArray

from aiida_limsm.compute.base import Status
from aiida_limsm.compute.results import AnalyseResults, JumpSummary, SiteSummary
from aiida_limsm.report.format import format_table, format_with_error

from ._content import as_model, attributes_as_model, check_stored_sha256, sha256_of_stream

if TYPE_CHECKING:
    from aiida_limsm.markov.curves import Curves
    from aiida_limsm.markov.model import MarkovModel

#: How a job went is not what it found; two runs of one analysis are one model.
_NOT_CONTENT = {"status", "message", "model_file", "wall_seconds"}


class MarkovModelData(SinglefileData):
    """Sites, jumps and the transition matrix of the mobile ions.

    Parameters
    ----------
    file : str, Path or binary file object
        ``markov_model.h5`` as ``limsm analyse`` writes it.
    results : AnalyseResults or dict
        The ``results.json`` that came with it.
    """

    #: Name of the file inside the repository, the same everywhere.
    FILENAME = "markov_model.h5"

    def __init__(
        self,
        file: str | Path | BinaryIO,
        results: AnalyseResults | dict[str, Any],
        **kwargs: Any,
    ) -> None:
        if isinstance(file, (str, Path)):
            file = str(Path(file).resolve())
        super().__init__(file=file, filename=self.FILENAME, **kwargs)
        content = as_model(AnalyseResults, results).model_dump(mode="json", exclude=_NOT_CONTENT)
        with self.base.repository.open(self.FILENAME, mode="rb") as stream:
            content["sha256"] = sha256_of_stream(stream)
        self.base.attributes.set_many(content)

    @property
    def results(self) -> AnalyseResults:
        """What the analysis reported."""
        return attributes_as_model(self, AnalyseResults, {"status": Status.FINISHED})

    @property
    def lag_ps(self) -> float:
        """Lag time in ps."""
        return float(self.base.attributes.get("lag_ps"))

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
    def ions(self) -> int:
        """Number of mobile ions."""
        return int(self.base.attributes.get("ions"))

    @property
    def sites(self) -> tuple[SiteSummary, ...]:
        """The sites with their occupancy and amplitude of vibration."""
        return tuple(SiteSummary.model_validate(row) for row in self.base.attributes.get("sites"))

    @property
    def jump_table(self) -> tuple[JumpSummary, ...]:
        """Site pairs with distance, number of jumps and rate."""
        rows = self.base.attributes.get("jump_table")
        return tuple(JumpSummary.model_validate(row) for row in rows)

    @property
    def timescales_ps(self) -> NDArray[np.float64]:
        """Implied timescales with their bootstrap errors, slowest first.

        Returns
        -------
        ndarray, shape (n, 2)
            Timescale and error in ps; NaN where there is no error.
        """
        rows = self.base.attributes.get("timescales")
        pairs = [
            (row["timescale_ps"], np.nan if row["error_ps"] is None else row["error_ps"])
            for row in rows
        ]
        return np.array(pairs, dtype=float).reshape(-1, 2)

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

    def diffusion_tensor(self) -> NDArray[np.float64]:
        """Return the model's diffusion tensor in cm²/s, shape (3, 3).

        It has no error here: quote the :class:`~aiida_limsm.data.diffusion.DiffusionData` made
        with this model.
        """
        return self.load().diffusion_tensor()

    def headline(self) -> str:
        """Return one line for a listing."""
        results = self.results
        at = "" if results.temperature_k is None else f", {results.temperature_k:.0f} K"
        sites = len(results.sites)
        return (
            f"{sites} site{'' if sites == 1 else 's'}, lag {self.lag_ps:g} ps, "
            f"{results.independent_jumps} independent jumps{at}"
        )

    def summary(self) -> str:
        """Return a few lines that say what the model rests on."""
        results = self.results
        rows = [
            (
                "sampling",
                f"{results.ions} ions, {results.frames} frames, {results.duration_ps:g} ps",
            ),
            ("sites", f"{len(results.sites)} ({results.assignment}, pooled: {results.pool})"),
            ("jumps", f"{results.jumps}, independent: {results.independent_jumps}"),
            ("lag", f"{self.lag_ps:g} ps" + (f" ({self.lag_reason})" if self.lag_reason else "")),
        ]
        if results.temperature_k is not None:
            rows.append(("temperature", f"{results.temperature_k:.0f} K"))
        if results.timescales:
            slowest = results.timescales[0]
            if slowest.error_ps is None:
                text = f"about {slowest.timescale_ps:.1g} ps, no error bar"
            else:
                text = format_with_error(slowest.timescale_ps, slowest.error_ps, "ps")
            rows.append(("slowest timescale", text))
        rows += [("warning", text) for text in results.warnings]
        return "Markov state model\n" + format_table(rows)

    def _validate(self) -> bool:
        super()._validate()  # type: ignore[no-untyped-call]
        results = self.results
        check_stored_sha256(self, self.filename, self.base.attributes.get("sha256"))
        if results.lag_ps is None or results.lag_ps <= 0:
            raise ValidationError(f"lag_ps: a model has a positive lag time, not {results.lag_ps}")
        if not results.sites:
            raise ValidationError("sites: a model has at least one site")
        for name in ("ions", "frames"):
            if getattr(results, name) < 1:
                raise ValidationError(f"{name}: must be at least 1, not {getattr(results, name)}")
        try:
            lag_ps = self.load().lag_ps
        except ValueError as error:
            # Without the temporary folder that the file was opened in.
            raise ValidationError(self.filename + str(error).split(self.filename)[-1]) from None
        if abs(lag_ps - results.lag_ps) > 1e-9 * lag_ps:
            raise ValidationError(
                f"lag_ps: {lag_ps:g} in the file, {results.lag_ps:g} in the results"
            )
        return True
