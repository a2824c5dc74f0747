"""Inputs of ValidateWorkChain: checks before anything is submitted, and the builder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from aiida import orm

from aiida_limsm.calculations.compare import CompareCalculation
from aiida_limsm.calculations.evaluate import EvaluateCalculation
from aiida_limsm.calculations.neb_paths import join_images
from aiida_limsm.calculations.validate import (
    AIMD,
    FINETUNED,
    FOUNDATION,
    Thresholds,
    mean_temperature_k,
)
from aiida_limsm.data.dataset import ReferenceDatasetData
from aiida_limsm.data.potential import PotentialData
from aiida_limsm.data.trajectory import MolecularDynamicsData

from ._neb_inputs import validate_neb
from ._protocol import run_calcfunction
from ._reference_inputs import plain
from ._restart import fill_job
from .md import MolecularDynamicsWorkChain
from .neb import NebComparisonWorkChain

if TYPE_CHECKING:
    from .validate import ValidateWorkChain

_NEB_DEFAULTS: dict[str, Callable[[], Any]] = {
    "dft": lambda: orm.Str("neb"), "n_images": lambda: orm.Int(7), "path": lambda: orm.Dict({}),
}  # fmt: skip


def potentials_of(inputs: Any) -> dict[str, PotentialData]:
    """Return the potential to judge, and the foundation model if there is one."""
    potentials = {FINETUNED: inputs["potential"]}
    if FOUNDATION in inputs:
        potentials[FOUNDATION] = inputs[FOUNDATION]
    return potentials


def validate_validation(inputs: Any, _: Any) -> str | None:
    """Port validator: everything that can be known to fail before a job is submitted."""
    try:
        _check(inputs)
    except ValueError as error:
        return str(error)
    return None


def _check(inputs: Any) -> None:
    if (split := inputs["thresholds"].get_dict().get("split", "test")) not in inputs[
        "dataset"
    ].splits:
        raise ValueError(
            f"dataset: has no frames in '{split}', on which it would be judged: hold some back, or "
            "choose another split in the thresholds"
        )
    for label, potential in potentials_of(inputs).items():
        nodes = {"potential": potential, "dataset": inputs["dataset"]}
        try:
            EvaluateCalculation.build_input({**inputs["evaluate"], **nodes})
        except ValueError as error:
            raise ValueError(f"evaluate, {label}: {error}") from None
    _check_trajectories(inputs)
    _check_jumps(inputs)


def _check_trajectories(inputs: Any) -> None:
    aimd, given = inputs.get("aimd", {}), inputs.get("mlff", {})
    temperatures = inputs["temperatures"].get_dict() if "temperatures" in inputs else {}
    for name, labels in (("mlff", given), ("temperatures", temperatures)):
        if unknown := sorted(set(labels) - set(aimd)):
            raise ValueError(f"{name}: there is no aimd.{unknown[0]} to compare it with")
    if aimd and "code" not in inputs.get("compare", {}):
        raise ValueError("compare.code: comparing trajectories needs the limsm code")
    for label, trajectory in sorted(aimd.items()):
        sources = {AIMD: trajectory, **({FINETUNED: given[label]} if label in given else {})}
        try:
            CompareCalculation.build_input({**inputs["compare"], "trajectories": sources})
            if label in given:
                continue
            if "code" not in inputs.get("md", {}).get("md", {}):
                raise ValueError(f"needs MD to compare with: give mlff.{label}, or md")
            if label not in temperatures:
                mean_temperature_k(trajectory)
            for potential in potentials_of(inputs).values():
                potential.check_elements(trajectory.symbols)
        except ValueError as error:
            raise ValueError(f"aimd.{label}: {error}") from None


def _check_jumps(inputs: Any) -> None:
    jumps = inputs.get("jumps", {})
    if jumps and "neb" not in inputs:
        raise ValueError("neb: jumps need its inputs")
    for label, images in sorted(jumps.items()):
        neb = dict(inputs["neb"])
        for name, default in _NEB_DEFAULTS.items():
            neb.setdefault(name, default())
        neb |= {"images": images, "potentials": potentials_of(inputs)}
        if message := validate_neb(neb, None):
            raise ValueError(f"jumps.{label}: {message}")


def fill_builder(
    process_class: type[ValidateWorkChain],
    code: orm.AbstractCode | str,
    potential: PotentialData,
    dataset: ReferenceDatasetData,
    foundation: PotentialData | None,
    *,
    aimd: Mapping[str, orm.TrajectoryData],
    mlff: Mapping[str, MolecularDynamicsData],
    jumps: Mapping[str, Sequence[orm.StructureData] | orm.TrajectoryData],
    pw_code: orm.AbstractCode | str | None,
    neb_code: orm.AbstractCode | str | None,
    protocol: str | None,
    overrides: dict[str, Any] | None,
    options: dict[str, Any] | None,
) -> Any:
    """Return a builder; see :meth:`ValidateWorkChain.get_builder_from_protocol`."""
    inputs = process_class.get_protocol_inputs(protocol, overrides)
    builder: Any = process_class.get_builder()
    builder.potential, builder.dataset = potential, dataset
    if foundation is not None:
        builder.foundation = foundation
    builder.thresholds = orm.Dict(Thresholds.model_validate(inputs["thresholds"]).model_dump())
    fill_job(builder.evaluate, code, inputs["evaluate"], inputs, options)
    if aimd:
        builder.aimd, builder.mlff = dict(aimd), dict(mlff)
        fill_job(builder.compare, code, inputs["compare"], inputs, options)
    if set(aimd) - set(mlff):
        builder.md = plain(
            MolecularDynamicsWorkChain.get_builder_from_protocol(
                code, protocol=protocol, overrides=inputs["md"], options=options
            )
        )
    if jumps:
        images = {label: _images(ends) for label, ends in jumps.items()}
        neb = NebComparisonWorkChain.get_builder_from_protocol(
            next(iter(images.values())),
            {FINETUNED: potential},
            limsm_code=code,
            pw_code=pw_code,
            neb_code=neb_code,
            protocol=protocol,
            overrides=inputs["neb"],
            options=options,
        )
        for key in ("images", "potentials"):
            neb.pop(key, None)
        builder.neb, builder.jumps = plain(neb), images
    return builder


def _images(ends: Sequence[orm.StructureData] | orm.TrajectoryData) -> orm.TrajectoryData:
    """Return a band; of two structures it is made by a calcfunction, so that its origin is kept."""
    if isinstance(ends, orm.TrajectoryData):
        return ends
    return run_calcfunction(join_images, "join_images", *ends)
