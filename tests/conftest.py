"""Fixtures of all tests.

AiiDA's own fixtures make a temporary profile (SQLite, no broker), never the user's. The science
side also runs, and is tested, where AiiDA is not installed: on a cluster node.
"""

from __future__ import annotations

import copy
import hashlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest_plugins = ["aiida.tools.pytest_fixtures"] if importlib.util.find_spec("aiida") else []

E0S_EV = {"Li": -190.5, "Si": -110.25}


@pytest.fixture(scope="session")
def make_frames() -> Callable[..., list[Any]]:
    """Return a factory of labelled Li-Si frames; equal arguments give equal frames."""
    from ase import Atoms

    def factory(count: int = 3, source: int = 0, start: int = 0, stress: bool = True) -> list[Any]:
        frames = []
        for index in range(start, start + count):
            rng = np.random.default_rng([source, index])
            atoms = Atoms(
                "Li2SiLi", rng.normal(size=(4, 3)) * 3.0, cell=np.eye(3) * (6 + 1 / 3), pbc=True
            )
            atoms.info["REF_energy"] = 3 * E0S_EV["Li"] + E0S_EV["Si"] + float(rng.normal())
            atoms.arrays["REF_forces"] = rng.normal(size=(4, 3))
            if stress:
                half = rng.normal(size=(3, 3)) * 1e-3
                atoms.info["REF_stress"] = (half + half.T).reshape(9)
            atoms.info["source_index"] = source
            atoms.info["frame_index"] = index
            frames.append(atoms)
        return frames

    return factory


@pytest.fixture(scope="session")
def make_splits(make_frames: Callable[..., list[Any]]) -> Callable[..., dict[str, list[Any]]]:
    """Return a factory of three splits of one source."""

    def factory(source: int = 0, **kwargs: Any) -> dict[str, list[Any]]:
        return {
            "train": make_frames(4, source, 0, **kwargs),
            "valid": make_frames(2, source, 6, **kwargs),
            "test": make_frames(3, source, 10, **kwargs),
        }

    return factory


POTENTIAL_BYTES = b"not a model, but bytes as good as any for a node\n" * 100


@pytest.fixture(scope="session")
def potential_bytes() -> bytes:
    """The content of a file that stands for a MACE model."""
    return POTENTIAL_BYTES


@pytest.fixture(scope="session")
def example_potential_info() -> dict[str, Any]:
    """What ``limsm inspect`` would say of :func:`potential_bytes`; not to be changed."""
    return {
        "architecture": "ScaleShiftMACE",
        "elements": ["Li", "Si"],
        "r_max_angstrom": 4.5,
        "dtype": "float32",
        "heads": ["Default"],
        "num_params": 12345,
        "e0s_ev": E0S_EV,
        "sha256": hashlib.sha256(POTENTIAL_BYTES).hexdigest(),
    }


@pytest.fixture
def potential_info(example_potential_info: dict[str, Any]) -> dict[str, Any]:
    """A copy of :func:`example_potential_info` to spoil."""
    return copy.deepcopy(example_potential_info)


@pytest.fixture
def potential_file(tmp_path: Path) -> Path:
    """A file that stands for a MACE model."""
    path = tmp_path / "dummy.model"
    path.write_bytes(POTENTIAL_BYTES)
    return path


@pytest.fixture(scope="session")
def example_diffusion_estimate() -> dict[str, Any]:
    """A resolved diffusion tensor, as ``limsm analyse`` reports it; not to be changed."""
    tensor = np.diag([3.0e-6, 1.0e-6, 2.0e-6])
    tensor[0, 1] = tensor[1, 0] = 0.2e-6
    covariance = np.diag([4.0e-14, 1.0e-14, 2.0e-14, 1e-15, 1e-15, 1e-15])
    return {
        "method": "markov",
        "tensor_cm2_s": tensor.tolist(),
        "error_cm2_s": np.sqrt(covariance.diagonal()[[[0, 5, 4], [5, 1, 3], [4, 3, 2]]]).tolist(),
        "covariance_cm4_s2": covariance.tolist(),
        "isotropic_cm2_s": 2.0e-6,
        "isotropic_error_cm2_s": 0.9e-7,
        "resolved": True,
        "upper_bound_cm2_s": None,
        "reason": "",
    }


@pytest.fixture
def diffusion_estimate(example_diffusion_estimate: dict[str, Any]) -> dict[str, Any]:
    """A copy of :func:`example_diffusion_estimate` to spoil."""
    return copy.deepcopy(example_diffusion_estimate)


QE_MD = Path(__file__).parent / "data_files" / "qe_md"


@pytest.fixture
def pw_job(aiida_localhost: Any) -> Callable[..., Any]:
    """Return a function that makes a finished PwCalculation of a recorded run of pw.x.

    The outputs and the exit status are those that aiida-quantumespresso's parser gives, unless
    another status (of the scheduler, or of a monitor) is asked for.
    """
    from aiida import orm
    from aiida.common import LinkType
    from aiida.plugins import ParserFactory

    from aiida_limsm.atomistic.crystals import li11si4

    def make(
        case: str,
        *,
        structure: Any = None,
        parameters: dict[str, Any] | None = None,
        exit_status: int | None = None,
        exit_message: str = "",
    ) -> Any:
        node = orm.CalcJobNode(
            computer=aiida_localhost, process_type="aiida.calculations:quantumespresso.pw"
        )
        node.set_process_label("PwCalculation")
        for name, value in {
            "input_filename": "aiida.in",
            "output_filename": "aiida.out",
            "scheduler_stderr": "_scheduler-stderr.txt",
            "scheduler_stdout": "_scheduler-stdout.txt",
            "resources": {"num_machines": 1},
        }.items():
            node.set_option(name, value)
        defaults: dict[str, Any] = {
            "CONTROL": {"calculation": "md", "dt": 50.0, "nstep": 3, "tstress": True},
            "SYSTEM": {"ecutwfc": 12.0, "ecutrho": 48.0, "smearing": "mv", "degauss": 0.02},
            "ELECTRONS": {},
        }
        kpoints = orm.KpointsData()
        kpoints.set_kpoints_mesh([2, 2, 2], offset=[0.5, 0.5, 0.5])
        inputs = {
            "parameters": orm.Dict(parameters or defaults).store(),
            "structure": (structure or orm.StructureData(ase=li11si4())).store(),
            "kpoints": kpoints.store(),
        }
        for label, value in inputs.items():
            node.base.links.add_incoming(value, LinkType.INPUT_CALC, label)
        node.store()
        retrieved = orm.FolderData(tree=str(QE_MD / case))
        retrieved.base.links.add_incoming(node, LinkType.CREATE, "retrieved")
        retrieved.store()
        remote = orm.RemoteData(computer=aiida_localhost, remote_path=str(QE_MD / case))
        remote.base.links.add_incoming(node, LinkType.CREATE, "remote_folder")
        remote.store()
        if exit_status is not None:
            # the scheduler or a monitor: the parser keeps their status
            node.set_exit_status(exit_status)
        parser = ParserFactory("quantumespresso.pw")
        outputs, finished = parser.parse_from_node(node, store_provenance=False)
        for label, output in outputs.items():
            output.base.links.add_incoming(node, LinkType.CREATE, label)
            output.store()
        node.set_exit_status(finished.exit_status if exit_status is None else exit_status)
        node.set_exit_message(exit_message or finished.exit_message or "")
        node.set_process_state("finished")
        node.seal()
        return node

    return make


@pytest.fixture
def h5md_file(tmp_path: Path) -> Path:
    """A trajectory of 7 frames of Li3Si, 0.1 ps apart, at 590, 592, … K."""
    from aiida_limsm.trajectory.h5md import H5mdFile

    rng = np.random.default_rng(1)
    path = tmp_path / "md.h5"
    file = H5mdFile(path, numbers=[3, 3, 14, 3], cell=np.eye(3) * 6.0, frame_interval_ps=0.1)
    positions = np.cumsum(rng.normal(size=(7, 4, 3)), axis=0)
    file.append(positions, np.arange(7) * 50, 590.0 + 2.0 * np.arange(7), np.zeros(7))
    file.close()
    return path


@pytest.fixture
def markov_model_file(tmp_path: Path) -> Path:
    """A model of one site in a cubic cell of 3 Å: D = p a² / (6 τ) with p = 0.3, τ = 2 ps."""
    from aiida_limsm.markov.curves import Curves
    from aiida_limsm.markov.io import save_model
    from aiida_limsm.markov.model import MarkovModel
    from aiida_limsm.markov.sites import SiteLattice

    lattice = SiteLattice(
        cell=np.eye(3) * 3.0,
        positions=np.zeros((1, 3)),
        labels=("Li1",),
        orbits=("1a",),
        multiplicities=(1,),
        framework_positions=np.zeros((0, 3)),
        framework_numbers=np.zeros(0, dtype=np.int64),
    )
    image = np.vstack([np.zeros((1, 3)), np.eye(3), -np.eye(3)]).astype(np.int64)
    model = MarkovModel(
        lattice=lattice,
        lag_ps=2.0,
        from_site=np.zeros(7, dtype=np.int64),
        to_site=np.zeros(7, dtype=np.int64),
        image=image,
        flux=np.array([0.7, *[0.05] * 6]),
    )
    times = np.array([2.0, 4.0])
    path = tmp_path / "model.h5"
    save_model(model, path, Curves(*[times] * 8))
    return path


@pytest.fixture
def analyse_results() -> dict[str, Any]:
    """The ``results.json`` that goes with :func:`markov_model_file`."""
    return {
        "status": "finished",
        "model_file": "model.h5",
        "species": "Li",
        "n_ions": 27,
        "n_frames": 1001,
        "frame_interval_fs": 100.0,
        "duration_ps": 100.0,
        "temperature_k": 600.0,
        "cell_angstrom": (np.eye(3) * 9.0).tolist(),
        "assignment": "core",
        "pool": "translations",
        "lag_time_ps": 2.0,
        "lag_reason": "plateau of D over the lag",
        "n_jumps": 210,
        "n_independent_jumps": 180,
        "sites": [
            {
                "label": "Li1",
                "orbit": "1a",
                "multiplicity": 1,
                "frac": [0.0, 0.0, 0.0],
                "occupancy": 1.0,
                "vibration_amplitude_a": 0.3,
                "stationary_probability": 1.0,
            }
        ],
        "jumps": [
            {
                "from": "Li1",
                "to": "Li1",
                "image": [1, 0, 0],
                "distance_a": 3.0,
                "vector_a": [3.0, 0.0, 0.0],
                "count": 35,
                "rate_per_ps": 0.025,
                "rate_error": 0.004,
            }
        ],
        "implied_timescales_ps": [12.3],
        "implied_timescales_error_ps": [1.4],
        "ck_max_deviation": 0.012,
        "ck_max_deviation_sigma": 1.3,
        "correlation_factor": {"value": 0.84, "error": 0.03, "resolved": True},
        "warnings": ["few jumps along z"],
        "wall_seconds": 12.0,
    }
