"""A MACE model file as a node."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

from aiida.orm import SinglefileData

from aiida_limsm.compute.results import PotentialInfo
from aiida_limsm.report.format import format_table

from ._content import as_model, attributes_as_model, check_stored_sha256

#: More than these are counted, not listed: foundation models know 89.
_MANY_ELEMENTS = 12


class PotentialData(SinglefileData):
    """A machine-learned potential: the model file, and what it is.

    Parameters
    ----------
    file : str, Path or binary file object
        The model file; it is copied unchanged.
    info : PotentialInfo or dict
        Read from this very file (``limsm inspect``); its sha256 is compared when storing.
    license : str or None
        Licence of the model, for example ``MIT``; None when unknown.
    citation : str or None
        What to cite, for example a DOI; None when there is nothing.
    filename : str
        Name inside the repository. The same everywhere, so that equal files are equal nodes.

    Notes
    -----
    An ASE calculator needs torch, which no node imports. Get one with
    ``with potential.as_path() as path`` and the functions of :mod:`aiida_limsm.atomistic`.
    """

    def __init__(
        self,
        file: str | Path | BinaryIO,
        info: PotentialInfo | dict[str, Any],
        *,
        license: str | None = None,
        citation: str | None = None,
        filename: str = "potential.model",
        **kwargs: Any,
    ) -> None:
        if isinstance(file, (str, Path)):
            file = str(Path(file).resolve())
        super().__init__(file=file, filename=filename, **kwargs)
        self.base.attributes.set_many(
            {
                **as_model(PotentialInfo, info).model_dump(mode="json"),
                "license": license,
                "citation": citation,
            }
        )

    @property
    def info(self) -> PotentialInfo:
        """What the file is, as the model of :mod:`aiida_limsm.compute.results`."""
        return attributes_as_model(self, PotentialInfo)

    @property
    def elements(self) -> tuple[str, ...]:
        """Chemical symbols the potential knows."""
        return tuple(self.base.attributes.get("elements"))

    @property
    def r_max_angstrom(self) -> float:
        """Cutoff radius of the graph in Å."""
        return float(self.base.attributes.get("r_max_angstrom"))

    @property
    def heads(self) -> tuple[str, ...]:
        """Names of the readout heads, as a calculation's input ``head`` takes them."""
        return tuple(self.base.attributes.get("heads"))

    @property
    def dtype(self) -> str:
        """Precision the weights are stored in: ``float32`` or ``float64``."""
        return str(self.base.attributes.get("dtype"))

    @property
    def e0s_ev(self) -> dict[str, float]:
        """Isolated-atom energies inside the model, per element, in eV."""
        return dict(self.base.attributes.get("e0s_ev"))

    @property
    def sha256(self) -> str:
        """Checksum of the file."""
        return str(self.base.attributes.get("sha256"))

    @property
    def license(self) -> str | None:
        """Licence of the model, None when unknown."""
        return self.base.attributes.get("license")

    @property
    def citation(self) -> str | None:
        """What to cite, None when there is nothing."""
        return self.base.attributes.get("citation")

    def check_elements(self, symbols: Iterable[str]) -> None:
        """Refuse a structure with an element that the potential was not trained on.

        Raises
        ------
        ValueError
            Naming the elements on both sides and what to do.
        """
        unknown = sorted(set(symbols) - set(self.elements))
        if unknown:
            raise ValueError(
                f"the potential knows {', '.join(self.elements)}; the structure has "
                f"{', '.join(unknown)}: choose a potential trained on "
                f"{'it' if len(unknown) == 1 else 'them'}, or fine-tune one from a foundation "
                "model that covers every element"
            )

    def headline(self) -> str:
        """Return one line for a listing."""
        return f"{self.base.attributes.get('architecture')}, {self._elements_text()}"

    def _elements_text(self) -> str:
        if len(self.elements) <= _MANY_ELEMENTS:
            return ", ".join(self.elements)
        return f"{len(self.elements)} elements ({', '.join(self.elements[:8])}, …)"

    def summary(self) -> str:
        """Return a few lines that say what the potential is."""
        info = self.info
        rows = [
            ("architecture", f"{info.architecture}, {info.num_params} parameters, {info.dtype}"),
            ("elements", self._elements_text()),
            ("cutoff", f"{info.r_max_angstrom:g} Å"),
            ("heads", ", ".join(info.heads)),
            ("sha256", info.sha256),
            ("license", self.license or "unknown"),
        ]
        if self.citation:
            rows.append(("citation", self.citation))
        return "MACE potential\n" + format_table(rows)

    def _validate(self) -> bool:
        super()._validate()  # type: ignore[no-untyped-call]
        info = attributes_as_model(self, PotentialInfo)
        check_stored_sha256(self, self.filename, info.sha256)
        return True
