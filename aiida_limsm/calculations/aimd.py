"""Calcfunctions of ab initio MD: start velocities, restart after a kill, one trajectory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from aiida import orm
from aiida.engine import calcfunction
from numpy.typing import NDArray

from aiida_limsm.trajectory.pw_output import PwMdOutput, read_pw_md
from aiida_limsm.trajectory.pw_segments import JoinedRun, join_runs
from aiida_limsm.units import (
    BOLTZMANN_EV_PER_K,
    EV_PER_ANGSTROM_U_TO_ANGSTROM_PER_FS2,
    RYDBERG_TIME_TO_FS,
    RYDBERG_VELOCITY_TO_ANGSTROM_PER_FS,
)

from .dft_settings import dft_settings, k_point_settings
from .structures import symbols_of

#: A drift of the conserved energy worth a warning: kT at 700 K is 60 meV, and a production run
#: has tens of ps. In a short run the fluctuations alone have a slope, so the change counts too.
MAX_DRIFT_MEV_PER_ATOM_PS = 5.0
MIN_CHANGE_MEV_PER_ATOM = 2.0
#: The same frame computed twice differs by the convergence of the SCF.
MAX_REPEATED_MEV_PER_ATOM = 1.0
VELOCITIES_CARD = "ATOMIC_VELOCITIES"
PW_OUTPUT = "aiida.out"
#: aiida-quantumespresso writes positions with ten decimals: these are what pw.x starts from.
_DECIMALS = 10


def read_segment(retrieved: orm.FolderData) -> PwMdOutput:
    """Read the frames of one pw.x job; a job without output has none."""
    repository = retrieved.base.repository
    if PW_OUTPUT not in repository.list_object_names():
        return read_pw_md(())
    with repository.open(PW_OUTPUT, "r") as handle:
        return read_pw_md(handle)


def masses_of(structure: orm.StructureData) -> NDArray[np.float64]:
    """Return the mass of every atom in u, as pw.x gets them."""
    kinds = {kind.name: kind.mass for kind in structure.kinds}
    return np.array([kinds[site.kind_name] for site in structure.sites])


def time_step_fs_of(parameters: Mapping[str, Any]) -> float:
    """Return the MD time step in fs; pw.x's ``dt`` is in Rydberg atomic units of time."""
    return float(parameters.get("CONTROL", {}).get("dt", 20.0)) * RYDBERG_TIME_TO_FS


def _start_positions(structure: orm.StructureData) -> NDArray[np.float64]:
    return np.round(np.array([site.position for site in structure.sites], float), _DECIMALS)


def _with_velocities(
    settings: orm.Dict | None, velocities_angstrom_per_fs: NDArray[np.float64]
) -> orm.Dict:
    """Return pw.x settings with start velocities, in Rydberg atomic units."""
    card = velocities_angstrom_per_fs / RYDBERG_VELOCITY_TO_ANGSTROM_PER_FS
    return orm.Dict(
        {**(settings.get_dict() if settings else {}), VELOCITIES_CARD: card.round(12).tolist()}
    )


@calcfunction
def initial_velocities(
    structure: orm.StructureData,
    temperature: orm.Float,
    seed: orm.Int,
    settings: orm.Dict | None = None,
) -> orm.Dict:
    """Draw start velocities from the Maxwell–Boltzmann distribution.

    pw.x draws its own from the clock: no two runs would be equal, and none could be repeated.

    Parameters
    ----------
    structure
        The start structure.
    temperature
        In K; velocities are scaled to it exactly after the momentum is taken out.
    seed
        Of the random numbers.
    settings
        Other settings of PwCalculation, which are kept.

    Returns
    -------
    Dict
        Settings with ``ATOMIC_VELOCITIES`` (bohr per Rydberg atomic unit of time).
    """
    masses = masses_of(structure)[:, None]
    kt = BOLTZMANN_EV_PER_K * temperature.value * EV_PER_ANGSTROM_U_TO_ANGSTROM_PER_FS2
    rng = np.random.default_rng(seed.value)
    velocities = rng.standard_normal((len(masses), 3)) * np.sqrt(kt / masses)
    velocities -= (masses * velocities).sum(axis=0) / masses.sum()
    twice_kinetic = float((masses * velocities**2).sum())
    freedom = 3 * len(masses) - 3
    if twice_kinetic > 0:
        velocities *= np.sqrt(freedom * kt / twice_kinetic)
    return _with_velocities(settings, velocities)


@calcfunction
def restart_point(
    structure: orm.StructureData,
    parameters: orm.Dict,
    retrieved: orm.FolderData,
    settings: orm.Dict | None = None,
) -> dict[str, orm.Data]:
    """Return positions and velocities of the last whole frame of a job that was cut off.

    Parameters
    ----------
    structure
        The structure that the job's first frame has.
    parameters
        Its pw.x input (time step).
    retrieved
        Its retrieved files.
    settings
        Other settings of PwCalculation, which are kept.

    Returns
    -------
    dict
        ``structure`` and ``settings`` (with ``ATOMIC_VELOCITIES``) for a job that computes the
        last whole frame once more and goes on from there.

    Raises
    ------
    ValueError
        The job has no whole frame.
    """
    segment = read_segment(retrieved)
    if len(segment) == 0:
        raise ValueError(f"no whole frame to restart from: {segment.message}")
    run = join_runs(
        _start_positions(structure),
        [segment],
        masses_of(structure),
        time_step_fs_of(parameters.get_dict()),
    )
    last = structure.clone()
    last.reset_sites_positions(run.positions_angstrom[-1].tolist())
    return {
        "structure": last,
        "settings": _with_velocities(settings, run.velocities_angstrom_per_fs[-1]),
    }


@calcfunction
def join_segments(
    structure: orm.StructureData,
    parameters: orm.Dict,
    kpoints: orm.KpointsData,
    equilibration_steps: orm.Int,
    kpoints_distance: orm.Float | None = None,
    remarks: orm.List | None = None,
    **nodes: Any,
) -> dict[str, orm.Data]:
    """Join the jobs of one MD run to a trajectory in this package's units.

    Parameters
    ----------
    structure
        The start structure.
    parameters
        The pw.x input of the run (time step, cutoffs, smearing).
    kpoints, kpoints_distance
        Its k-points, and the distance they were made from where they were.
    equilibration_steps
        How many frames at the start are equilibration.
    remarks
        What happened on the way; goes before the warnings of the summary.
    **nodes
        ``retrieved_000``, … (FolderData) of the jobs in order of time; ``pseudo_Li`` …
        (UpfData), one per kind.

    Returns
    -------
    dict
        ``trajectory`` (and ``equilibration`` where there is any): TrajectoryData with positions
        that are not wrapped, ``times`` in ps from the first frame of the whole run, ``velocities``
        in Å/ps, and the arrays ``energies_ev``, ``kinetic_energies_ev``, ``conserved_energy_ev``
        (total energy less the heat of the thermostat), ``temperature_k``,
        ``forces_ev_per_angstrom``, ``stress_ev_per_angstrom3`` (tension positive),
        ``scf_cycles``, ``segment``; attributes ``dft_settings`` and ``segment_links`` (the
        link label of the job that computed the frames of each segment).
        ``summary``: Dict with settings, statistics, segments and warnings.

    Raises
    ------
    ValueError
        The jobs do not follow each other, or their numbers contradict each other.
    """
    keys = sorted(key for key in nodes if key.startswith("retrieved_"))
    segments = [read_segment(nodes[key]) for key in keys]
    inputs = parameters.get_dict()
    time_step_fs = time_step_fs_of(inputs)
    run = join_runs(_start_positions(structure), segments, masses_of(structure), time_step_fs)
    settings = dft_settings(
        inputs,
        k_point_settings(kpoints, kpoints_distance),
        {
            key.removeprefix("pseudo_"): node
            for key, node in nodes.items()
            if key.startswith("pseudo_")
        },
        next((segment.functional for segment in segments if segment.functional), None),
    )
    first = min(equilibration_steps.value, len(run))
    outputs: dict[str, orm.Data] = {}
    for name, frames in (("equilibration", slice(0, first)), ("trajectory", slice(first, None))):
        if len(range(*frames.indices(len(run)))):
            node = _trajectory(structure, run, frames, time_step_fs, settings)
            node.base.attributes.set("segment_links", keys)
            outputs[name] = node
    outputs["summary"] = orm.Dict(
        {
            "frames": len(run) - first,
            "equilibration_frames": first,
            "time_step_fs": time_step_fs,
            "duration_ps": (len(run) - first) * time_step_fs / 1000.0,
            **statistics(run, first, time_step_fs),
            "segments": _segments(keys, segments, run),
            "code_versions": sorted({s.version for s in segments if s.version}),
            "dft_settings": settings,
            "warnings": [
                *(remarks.get_list() if remarks else []),
                *_warnings(run, first, time_step_fs),
            ],
        }
    )
    return outputs


def _trajectory(
    structure: orm.StructureData,
    run: JoinedRun,
    frames: slice,
    time_step_fs: float,
    settings: dict[str, Any],
) -> orm.TrajectoryData:
    """Return a part of a run as a node."""
    steps = np.arange(*frames.indices(len(run)))
    node = orm.TrajectoryData()
    node.set_trajectory(
        symbols=symbols_of(structure),
        positions=run.positions_angstrom[frames],
        cells=np.tile(np.array(structure.cell, float), (len(steps), 1, 1)),
        pbc=structure.pbc,
        stepids=steps,
        times=steps * time_step_fs / 1000.0,
        velocities=1000.0 * run.velocities_angstrom_per_fs[frames],
    )
    arrays = {
        "energies_ev": run.energies_ev,
        "kinetic_energies_ev": run.kinetic_energies_ev,
        "conserved_energy_ev": run.conserved_energies_ev,
        "temperature_k": run.temperatures_k,
        "forces_ev_per_angstrom": run.forces_ev_per_angstrom,
        "scf_cycles": run.scf_cycles,
        "segment": np.repeat(np.arange(len(run.joins)), [join.frames for join in run.joins]),
    }
    if run.stress_ev_per_angstrom3 is not None:
        arrays["stress_ev_per_angstrom3"] = run.stress_ev_per_angstrom3
    for name, values in arrays.items():
        node.set_array(name, values[frames])
    node.base.attributes.set("dft_settings", settings)
    return node


def statistics(run: JoinedRun, first: int, time_step_fs: float) -> dict[str, Any]:
    """Return temperature and conserved energy of a run's production part, for people."""
    atoms = run.positions_angstrom.shape[1]
    temperatures = run.temperatures_k[first:]
    if not len(temperatures):
        return {"mean_temperature_k": None, "conserved_energy_drift_mev_per_atom_ps": None}
    drift = conserved_energy_drift(run.conserved_energies_ev[first:], atoms, time_step_fs)
    return {
        "mean_temperature_k": float(temperatures.mean()),
        "std_temperature_k": float(temperatures.std()),
        "max_temperature_k": float(temperatures.max()),
        "conserved_energy_drift_mev_per_atom_ps": drift,
        "conserved_energy_spread_mev_per_atom": float(
            1000.0 * np.ptp(run.conserved_energies_ev[first:]) / atoms
        ),
        "scf_cycles_per_step": float(run.scf_cycles[first:].mean()),
    }


def _warnings(run: JoinedRun, first: int, time_step_fs: float) -> list[str]:
    """Return what the numbers of a run say against it."""
    atoms = run.positions_angstrom.shape[1]
    frames = len(run) - first
    drift = conserved_energy_drift(run.conserved_energies_ev[first:], atoms, time_step_fs) or 0.0
    found = []
    change = abs(drift) * frames * time_step_fs / 1000.0
    if abs(drift) > MAX_DRIFT_MEV_PER_ATOM_PS and change > MIN_CHANGE_MEV_PER_ATOM:
        found.append(
            f"the conserved energy drifts by {drift:.1f} meV per atom and ps: shorten the time "
            "step, or converge the SCF more tightly (conv_thr)"
        )
    for number, join in enumerate(run.joins):
        if join.repeated and abs(join.heat_ev) > run.kinetic_energies_ev[join.first_frame - 1]:
            found.append(
                f"segment {number}: the thermostat changed the kinetic energy by "
                f"{join.heat_ev:+.3f} eV when the run was restarted from velocities"
            )
        difference = 1000.0 * abs(join.energy_difference_ev) / atoms
        if difference > MAX_REPEATED_MEV_PER_ATOM:
            found.append(
                f"segment {number}: the repeated frame came out {difference:.2f} meV per atom "
                "different: converge the SCF more tightly (conv_thr)"
            )
    return found


def conserved_energy_drift(
    conserved_ev: NDArray[np.float64], atoms: int, time_step_fs: float
) -> float | None:
    """Return the slope of the conserved energy in meV per atom and ps; None for one frame."""
    if len(conserved_ev) < 2:
        return None
    times_ps = np.arange(len(conserved_ev)) * time_step_fs / 1000.0
    return float(1000.0 * np.polyfit(times_ps, conserved_ev, 1)[0] / atoms)


def _segments(
    keys: Iterable[str], segments: list[PwMdOutput], run: JoinedRun
) -> list[dict[str, Any]]:
    """Describe each job: which frames it gave and how it began and ended."""
    return [
        {
            "input": key,
            "first_frame": join.first_frame,
            "frames": join.frames,
            "start": "velocities" if join.repeated else "restart" if join.first_frame else "start",
            "repeated_energy_difference_ev": join.energy_difference_ev if join.repeated else None,
            "ending": segment.ending.value,
            "message": segment.message,
        }
        for key, segment, join in zip(keys, segments, run.joins, strict=True)
    ]
