"""Inputs of NebComparisonWorkChain: checks before anything is submitted, and the builder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from aiida import orm
from aiida.plugins import WorkflowFactory

from aiida_limsm.atomistic.band import check_images
from aiida_limsm.calculations.kpoints import check_mesh
from aiida_limsm.calculations.neb_paths import atoms_of, images_of
from aiida_limsm.compute.neb_inputs import NebInput
from aiida_limsm.data.potential import PotentialData
from aiida_limsm.report.neb_paths import DFT

from ._protocol import code_options, load_code
from ._pseudos import require_pseudo_family
from ._pw_checks import check_pw_inputs
from ._restart import fill_job

if TYPE_CHECKING:
    from .neb import NebComparisonWorkChain

PwBaseWorkChain: Any = WorkflowFactory("quantumespresso.pw.base")

MODES = ("none", "neb", "single_points", "both")
#: Fields of limsm neb that the workchain sets itself.
_OWN_FIELDS = ("n_images", "relax_ends", "single_points", "structure_files", "potential_file")
#: Keywords of neb.x that the workchain sets itself.
_OWN_KEYWORDS = ("num_of_images", "first_last_opt", "restart_mode", "string_method")

__all__ = ["fill_builder", "validate_neb"]


def validate_neb(inputs: Any, _: Any) -> str | None:
    """Port validator: everything that can be known to fail before a job is submitted."""
    try:
        _check(inputs)
    except ValueError as error:
        return str(error)
    return None


def _check(inputs: Any) -> None:
    images = _check_path(inputs)
    mode = inputs["dft"].value
    if mode not in MODES:
        raise ValueError(f"dft: '{mode}' is none of {', '.join(MODES)}")
    potentials = inputs.get("potentials", {})
    if not potentials and mode in ("none", "single_points"):
        raise ValueError(f"potentials: with dft '{mode}' give at least one, such as foundation")
    if inputs["n_images"].value < 3:
        raise ValueError(f"n_images: {inputs['n_images'].value} given, the least is 3")
    for label, potential in potentials.items():
        if label == DFT:
            raise ValueError(f"potentials: the label '{DFT}' is taken, choose another")
        try:
            potential.check_elements(images[0].symbols)
        except ValueError as error:
            raise ValueError(f"potentials.{label}: {error}") from None
    _check_mlff(inputs, potentials)
    if mode != "none":
        _check_dft(inputs, mode)


def _check_path(inputs: Any) -> list[Any]:
    """Return the images as given (atoms) if they are a path."""
    ends = [name for name in ("initial", "final") if name in inputs]
    if ("images" in inputs) == bool(ends) or len(ends) == 1:
        raise ValueError("give either initial and final, or images")
    images = (
        images_of(inputs["images"])
        if "images" in inputs
        else [atoms_of(inputs[name]) for name in ends]
    )
    given = inputs["mlff"]["parameters"].get_dict() if "mlff" in inputs else {}
    fields = NebInput.model_fields
    check_images(
        images,
        max_displacement_angstrom=given.get(
            "max_displacement_angstrom", fields["max_displacement_angstrom"].default
        ),
        check_order=given.get("check_order", fields["check_order"].default),
    )
    return images


def _check_mlff(inputs: Any, potentials: Mapping[str, PotentialData]) -> None:
    if not potentials:
        return
    if "code" not in inputs.get("mlff", {}):
        raise ValueError("mlff.code: potentials need the limsm code")
    given = inputs["mlff"]["parameters"].get_dict()
    if own := sorted(set(_OWN_FIELDS) & set(given)):
        raise ValueError(f"mlff.parameters: {', '.join(own)} come from other inputs: remove them")
    heads = inputs["heads"].get_dict() if "heads" in inputs else {}
    if unknown := sorted(set(heads) - set(potentials)):
        raise ValueError(f"heads: there is no potential {', '.join(unknown)}")
    for label, potential in potentials.items():
        head = heads.get(label)
        if head is None and len(potential.heads) > 1:
            raise ValueError(
                f"heads: choose one of {', '.join(potential.heads)} for '{label}', such as "
                f"{{'{label}': '{potential.heads[-1]}'}}"
            )
        if head is not None and head not in potential.heads:
            raise ValueError(
                f"heads: '{label}' has no head '{head}', only {', '.join(potential.heads)}"
            )


def _check_dft(inputs: Any, mode: str) -> None:
    base = inputs.get("base", {})
    if "pw" not in base:
        raise ValueError(f"base: dft '{mode}' needs the inputs of pw.x, or set dft to 'none'")
    structure = inputs["initial"] if "initial" in inputs else inputs["images"].get_step_structure(0)
    pw = base["pw"]
    check_pw_inputs(
        code=pw["code"],
        structure=structure,
        pseudos=pw["pseudos"],
        parameters=pw["parameters"].get_dict(),
    )
    if ("kpoints" in base) == ("kpoints_distance" in base):
        raise ValueError("base: give either kpoints or kpoints_distance")
    if "kpoints_distance" in base:
        offset = inputs["kpoints_offset"].get_list() if "kpoints_offset" in inputs else [0, 0, 0]
        check_mesh(base["kpoints_distance"].value, offset)
    if mode not in ("neb", "both"):
        return
    if "neb_code" not in inputs:
        raise ValueError(f"neb_code: dft '{mode}' needs the code of neb.x")
    plugin = inputs["neb_code"].default_calc_job_plugin
    if plugin != "quantumespresso.neb":
        raise ValueError(
            f"neb_code: {inputs['neb_code'].full_label} is for {plugin or 'no plugin'}, not for "
            "quantumespresso.neb: give the code of neb.x"
        )
    keywords = {key.lower() for key in inputs["path"].get_dict()}
    if own := sorted(keywords & set(_OWN_KEYWORDS)):
        raise ValueError(f"path: {', '.join(own)} are set by the workchain: remove them")


def fill_builder(
    process_class: type[NebComparisonWorkChain],
    structures: Sequence[orm.StructureData] | orm.TrajectoryData,
    potentials: Mapping[str, PotentialData],
    *,
    limsm_code: orm.AbstractCode | str | None,
    pw_code: orm.AbstractCode | str | None,
    neb_code: orm.AbstractCode | str | None,
    dft: str | None,
    protocol: str | None,
    overrides: dict[str, Any] | None,
    options: dict[str, Any] | None,
) -> Any:
    """Return a builder; see :meth:`NebComparisonWorkChain.get_builder_from_protocol`."""
    inputs = process_class.get_protocol_inputs(protocol, overrides)
    builder: Any = process_class.get_builder()
    if isinstance(structures, orm.TrajectoryData):
        builder.images = structures
        first = structures.get_step_structure(0)
    else:
        builder.initial, builder.final = structures
        first = builder.initial
    builder.potentials = dict(potentials)
    builder.n_images = orm.Int(inputs["n_images"])
    builder.relax_ends = orm.Bool(inputs["relax_ends"])
    builder.max_iterations = orm.Int(inputs["max_iterations"])
    mode = dft or ("none" if pw_code is None else inputs["dft"])
    builder.dft = orm.Str(mode)
    if "heads" in inputs:
        builder.heads = orm.Dict(inputs["heads"])
    if limsm_code is not None:
        fill_job(
            builder.mlff, limsm_code, inputs["mlff"], {"options": inputs["mlff_options"]}, options
        )
    if mode == "none":
        return builder
    if pw_code is None:
        raise ValueError(f"pw_code: dft '{mode}' needs the code of pw.x")
    code = load_code(pw_code)
    base_inputs = inputs["base"]
    if "pseudos" not in base_inputs["pw"]:
        require_pseudo_family(base_inputs["pseudo_family"], first.get_symbols_set())
    base = PwBaseWorkChain.get_builder_from_protocol(
        code, first, protocol=protocol, overrides=base_inputs
    )
    for key in ("clean_workdir", "max_iterations"):
        base.pop(key, None)
    base.pw.pop("structure", None)
    base.pw.metadata = {
        "options": code_options(code, base_inputs["pw"]["metadata"]["options"], options)
    }
    builder.base = base
    if "kpoints" not in base_inputs:
        builder.kpoints_offset = orm.List(inputs["kpoints_offset"])
    builder.path = orm.Dict(inputs["path"])
    if neb_code is not None:
        builder.neb_code = load_code(neb_code)
    return builder
