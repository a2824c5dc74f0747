"""Inputs of AimdWorkChain: checks before anything is submitted, and the builder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from aiida import orm
from aiida.plugins import WorkflowFactory
from pydantic import Field, ValidationError

from aiida_limsm.compute.base import LimsmModel, first_error

from ._protocol import code_options, load_code
from ._pseudos import require_pseudo_family
from ._pw_checks import check_md_inputs, check_md_settings

if TYPE_CHECKING:
    from .aimd import AimdWorkChain

PwBaseWorkChain: Any = WorkflowFactory("quantumespresso.pw.base")

#: Names of thermostats and what pw.x calls them.
THERMOSTATS = {
    "svr": "svr",
    "andersen": "andersen",
    "rescaling": "rescaling",
    "nve": "not_controlled",
}


class MonitorSettings(LimsmModel):
    """How a running job is watched; see :func:`aiida_limsm.calculations.monitors.watch_pw_md`."""

    enabled: bool = True
    interval_s: Annotated[int, Field(ge=1)] = 60
    patience: Annotated[int, Field(ge=5)] = 30


def thermostat_ions(thermostat: str, nraise: int | None = None) -> dict[str, Any]:
    """Return the IONS namelist of a thermostat.

    Raises
    ------
    ValueError
        For a thermostat that pw.x does not have.
    """
    if thermostat not in THERMOSTATS:
        raise ValueError(
            f"thermostat '{thermostat}': pw.x has {', '.join(THERMOSTATS)} (no Nosé-Hoover)"
        )
    ions: dict[str, Any] = {"ion_temperature": THERMOSTATS[thermostat]}
    return ions if nraise is None else {**ions, "nraise": nraise}


def max_temperature_k(inputs: Any) -> float:
    """Return the temperature above which a run counts as exploded.

    A cell of ten atoms fluctuates by a fifth of its temperature, and a start structure away from
    its minimum heats up by as much as it relaxes: the default limit leaves room for both.
    """
    if "max_temperature" in inputs:
        return float(inputs["max_temperature"].value)
    return 3.0 * float(inputs["temperature"].value) + 1000.0


def validate_monitor(node: orm.Dict | None, _: object) -> str | None:
    """Port validator for a ``MonitorSettings`` Dict."""
    if node is not None:
        try:
            MonitorSettings.model_validate(node.get_dict())
        except ValidationError as error:
            return f"monitor: {first_error(error)}"
    return None


def validate_aimd(inputs: Any, _: Any) -> str | None:
    """Port validator: everything that can be known to fail before a job is submitted."""
    pw = inputs.get("pw", {})
    try:
        _check_numbers(inputs)
        if "parameters" in pw:
            _check_parameters(pw)
            steps = inputs["steps"].value if "steps" in inputs else 1
            temperature = inputs["temperature"].value if "temperature" in inputs else None
            check_md_settings(pw["parameters"].get_dict(), steps, temperature)
        if all(name in pw for name in ("code", "pseudos", "parameters")) and "structure" in inputs:
            input_warnings(inputs)
            if ("kpoints" in inputs) == ("kpoints_distance" in inputs):
                raise ValueError("kpoints: give either kpoints or kpoints_distance")
    except ValueError as error:
        return str(error)
    return None


def _check_numbers(inputs: Any) -> None:
    if "equilibration_steps" in inputs and inputs["equilibration_steps"].value < 0:
        raise ValueError("equilibration_steps: give 0 or more")
    if "steps_per_segment" in inputs and inputs["steps_per_segment"].value < 1:
        raise ValueError("steps_per_segment: give at least one MD step")
    if "max_temperature" in inputs and "temperature" in inputs:
        limit, target = inputs["max_temperature"].value, inputs["temperature"].value
        if not limit > target:
            raise ValueError(
                f"max_temperature: {limit:g} K is not above the {target:g} K asked for"
            )


def _check_parameters(pw: Any) -> None:
    parameters = pw["parameters"].get_dict()
    if parameters.get("ELECTRONS", {}).get("scf_must_converge", True) is not True:
        raise ValueError(
            "ELECTRONS.scf_must_converge must be true: an energy that is not converged is no label"
        )
    settings = pw["settings"].get_dict() if "settings" in pw else {}
    if any(key.upper() == "FIXED_COORDS" for key in settings):
        raise ValueError("settings.FIXED_COORDS: MD with fixed atoms is no reference; remove it")


def input_warnings(inputs: Any) -> list[str]:
    """Return what is odd about inputs that passed the checks.

    Raises
    ------
    ValueError
        With one line that names the remedy, for inputs that cannot work.
    """
    pw = inputs["pw"]
    return check_md_inputs(
        code=pw["code"],
        structure=inputs["structure"],
        pseudos=pw["pseudos"],
        parameters=pw["parameters"].get_dict(),
        steps=inputs["steps"].value if "steps" in inputs else 1,
        temperature=inputs["temperature"].value if "temperature" in inputs else None,
        mobile_species=inputs["mobile_species"].value if "mobile_species" in inputs else None,
    )


def fill_builder(
    process_class: type[AimdWorkChain],
    code: orm.AbstractCode | str,
    structure: orm.StructureData,
    *,
    temperature_k: float | None = None,
    steps: int | None = None,
    equilibration_steps: int | None = None,
    thermostat: str | None = None,
    seed: int | None = None,
    protocol: str | None = None,
    overrides: dict[str, Any] | None = None,
    options: dict[str, Any] | None = None,
) -> Any:
    """Return a builder of AimdWorkChain filled from a protocol.

    Parameters
    ----------
    process_class
        The workchain.
    code
        A pw.x code (node or label).
    structure
        The start structure.
    temperature_k, steps, equilibration_steps, seed
        Target temperature, frames of production and of equilibration, and the seed of the start
        velocities; the protocol's where None.
    thermostat
        Of the production: ``svr``, ``andersen``, ``rescaling`` or ``nve``; equilibration keeps
        the protocol's.
    protocol
        ``fast``, ``balanced`` or ``stringent``.
    overrides
        Same nesting as ``protocols/aimd.yaml``.
    options
        Job options (walltime, resources, queue) over the protocol's.

    Raises
    ------
    ValueError
        For an unknown protocol, thermostat or pseudopotential family.
    """
    code = load_code(code)
    inputs = process_class.get_protocol_inputs(protocol, overrides)
    require_pseudo_family(inputs["pseudo_family"], structure.get_symbols_set())
    base = PwBaseWorkChain.get_builder_from_protocol(
        code,
        structure,
        protocol=protocol,
        overrides={"pseudo_family": inputs["pseudo_family"], "pw": inputs["pw"]},
    )
    builder: Any = process_class.get_builder()
    for name in ("code", "pseudos", "settings", "parallelization"):
        if name in base.pw:
            builder.pw[name] = base.pw[name]
    parameters = base.pw.parameters.get_dict()
    ions = dict(parameters.get("IONS", {}))
    if thermostat is not None:
        parameters["IONS"] = {**ions, **thermostat_ions(thermostat)}
        builder.equilibration_ions = orm.Dict(
            {key: ions[key] for key in ("ion_temperature", "nraise") if key in ions}
        )
    builder.pw.parameters = orm.Dict(parameters)
    builder.pw.metadata = {
        "options": code_options(code, inputs["pw"]["metadata"]["options"], options)
    }
    builder.structure = structure
    builder.kpoints_distance = orm.Float(inputs["kpoints_distance"])
    builder.kpoints_offset = orm.List(inputs["kpoints_offset"])

    def chosen(value: float | None, name: str) -> Any:
        return inputs[name] if value is None else value

    builder.temperature = orm.Float(chosen(temperature_k, "temperature_k"))
    builder.steps = orm.Int(chosen(steps, "steps"))
    builder.equilibration_steps = orm.Int(chosen(equilibration_steps, "equilibration_steps"))
    builder.seed = orm.Int(chosen(seed, "seed"))
    builder.mobile_species = orm.Str(inputs["mobile_species"])
    builder.monitor = orm.Dict(inputs["monitor"])
    for name in ("steps_per_segment", "max_iterations"):
        if name in inputs:
            builder[name] = orm.Int(inputs[name])
    builder.clean_workdir = orm.Bool(inputs["clean_workdir"])
    return builder
