"""Calcfunction ``limsm.build_dataset``: labelled trajectories become a split dataset."""

from __future__ import annotations

from aiida import orm
from aiida.engine import calcfunction

from aiida_limsm.data.dataset import ReferenceDatasetData

from ._dataset_settings import DatasetSettings, read_settings, validate_dataset
from ._energy_zero import fitted_e0s
from ._labelled import LabelledFrames, read_labelled, shared_settings
from ._selection import Selection, select_frames

__all__ = ["DatasetSettings", "build_dataset", "validate_dataset"]


@calcfunction
def build_dataset(
    parameters: orm.Dict,
    isolated_atoms: orm.Dict | None = None,
    **trajectories: orm.TrajectoryData,
) -> ReferenceDatasetData:
    """Select, split and join the frames of ab initio MD trajectories and label batches.

    Parameters
    ----------
    parameters
        Fields of :class:`DatasetSettings`.
    isolated_atoms
        Isolated-atom energies (eV) per element, of the same DFT settings; for ``e0s: isolated``.
    **trajectories
        Of AimdWorkChain (frames are equal steps in time) or of the label workchain (single points);
        the link label names the source.

    Returns
    -------
    ReferenceDatasetData
        Sources in the order of their names. What was measured and removed is in its attributes.

    Raises
    ------
    ValueError
        With one line: if settings are wrong, the trajectories were made with different DFT settings
        or are too short, or the energy zero is missing or cannot be fitted.
    """
    settings = read_settings(parameters.get_dict())
    if not trajectories:
        raise ValueError("no frames: give at least one trajectory of limsm.aimd or limsm.label")
    if settings.e0s == "isolated" and isolated_atoms is None:
        raise ValueError(
            "e0s='isolated' needs isolated_atoms: give their energies, or e0s='fitted'"
        )
    if settings.e0s == "fitted" and isolated_atoms is not None:
        raise ValueError(
            "e0s='fitted' does not use isolated_atoms: leave them out, or e0s='isolated'"
        )
    sources = [read_labelled(name, trajectories[name]) for name in sorted(trajectories)]
    dft_settings = shared_settings(sources)
    selection = select_frames(sources, settings)
    e0s = _fit(sources, selection) if isolated_atoms is None else isolated_atoms.get_dict()
    return ReferenceDatasetData(
        {
            split: [sources[number].to_atoms(index, number) for number, index in frames]
            for split, frames in selection.frames.items()
        },
        e0s,
        dft_settings,
        sources=[source.name for source in sources],
        e0s_are=settings.e0s,
        selection=selection.report,
        outliers=selection.outliers,
    )


def _fit(sources: list[LabelledFrames], selection: Selection) -> dict[str, float]:
    """Fit the energy zero to the training frames."""
    train = selection.frames["train"]
    compositions = [sources[number].geometry.symbols for number, _ in train]
    e0s = fitted_e0s(compositions, [sources[number].energies[index] for number, index in train])
    elements = {symbol for source in sources for symbol in source.geometry.symbols}
    if missing := sorted(elements - set(e0s)):
        raise ValueError(
            f"e0s='fitted': no training frame holds {', '.join(missing)}: use e0s='isolated' with "
            "isolated_atoms, or add frames"
        )
    return e0s
