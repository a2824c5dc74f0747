"""Engines: what gives energies, forces and stresses of one or several systems at once.

``ase`` asks MACE's own ASE calculator, one system after the other, and is the reference. ``mace``
runs the same model on one graph of all systems, with neighbour lists that have a skin, and
computes stresses only where they are wanted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from numpy.typing import NDArray

from .compiled import compiled
from .neighbours import SkinList

Array = NDArray[np.float64]
Anchor = tuple[Array, Array]

SKIN_ANGSTROM = 0.5

#: How far a compiled model's forces (eV/Å) and energy per atom (eV) may be from the model's own, by
#: the bytes of a number: a hundred times what rounding makes.
_COMPILED_TOLERANCE = {4: 1e-3, 8: 1e-9}


@dataclass(frozen=True)
class Evaluation:
    """One system: energy (eV), forces (N, 3) in eV/Å, stress (3, 3) in eV/Å³ with ASE's sign."""

    energy_ev: float
    forces: Array
    stress: Array | None


class Engine(Protocol):
    """Evaluates systems; each has a key by which the engine remembers its neighbour list."""

    def evaluate(self, systems: Mapping[int, Atoms], stress: bool) -> dict[int, Evaluation]:
        """Return energy, forces and, if asked, stress of every system."""

    def anchor(self, key: int) -> Anchor | None:
        """Return what :meth:`restore` needs so that the next sums come in the same order."""

    def restore(self, key: int, anchor: Anchor | None) -> None:
        """Go on with the neighbour list of a checkpoint."""


class AseEngine:
    """Any ASE calculator whose results depend on the structure alone."""

    def __init__(self, calculator: Calculator) -> None:
        self._calculator = calculator

    def evaluate(self, systems: Mapping[int, Atoms], stress: bool) -> dict[int, Evaluation]:
        """Ask the calculator for one system after the other."""
        found = {}
        calculator: Any = self._calculator
        for key, atoms in systems.items():
            wanted = ["energy", "forces", *(["stress"] if stress else [])]
            calculator.calculate(atoms, wanted, [])
            results = calculator.results
            found[key] = Evaluation(
                float(results["energy"]),
                np.asarray(results["forces"], dtype=np.float64),
                _matrix(results["stress"]) if stress else None,
            )
        return found

    def anchor(self, key: int) -> Anchor | None:
        """Return None: there is nothing to remember."""
        return None

    def restore(self, key: int, anchor: Anchor | None) -> None:
        """Do nothing."""


class MaceEngine:
    """A MACE model on one graph of all systems.

    Parameters
    ----------
    calculator
        A loaded ``MACECalculator``, see :func:`aiida_limsm.atomistic.potential.load_calculator`;
        its model, head and precision are used.
    skin_angstrom
        Of the neighbour lists.

    Raises
    ------
    ValueError
        The model is of a kind whose energy depends on more than the structure.
    """

    def __init__(self, calculator: Any, skin_angstrom: float = SKIN_ANGSTROM) -> None:
        import torch

        self._torch = torch
        self._model = calculator.models[0]
        kind = type(self._model).__name__
        if kind not in ("MACE", "ScaleShiftMACE") or hasattr(self._model, "joint_embedding"):
            raise ValueError(f"engine 'mace' takes no {kind} with embeddings: use engine 'ase'")
        self._cutoff = float(calculator.r_max)
        self._skin = skin_angstrom
        self._device = calculator.device
        self._dtype = next(self._model.parameters()).dtype
        self._head = calculator.available_heads.index(calculator.head)
        self._rank = np.full(119, -1, dtype=np.int64)
        self._rank[list(calculator.z_table.zs)] = np.arange(len(calculator.z_table.zs))
        self._lists: dict[int, SkinList] = {}
        self._fixed: tuple[Any, dict[str, Any]] | None = None

    def evaluate(self, systems: Mapping[int, Atoms], stress: bool) -> dict[int, Evaluation]:
        """Run the model once on all systems."""
        torch = self._torch
        cells = np.stack([atoms.cell.array for atoms in systems.values()])
        edges = [
            self._list(key).edges(atoms.positions, cell)
            for (key, atoms), cell in zip(systems.items(), cells, strict=True)
        ]
        fixed = self._constants(systems)
        starts = fixed["starts"]
        graph = {
            **fixed["tensors"],
            "positions": torch.cat([e.positions for e in edges]),
            "edge_index": torch.cat(
                [e.pairs + int(s) for e, s in zip(edges, starts, strict=False)], dim=1
            ),
            "shifts": torch.cat([e.shifts for e in edges]),
            "unit_shifts": torch.cat([e.images for e in edges]),
            "cell": torch.from_numpy(cells.reshape(-1, 3)).to(self._device, self._dtype),
        }
        out = self._model(graph, compute_stress=stress)
        forces = out["forces"].detach().cpu().numpy().astype(np.float64)
        # Energies of atoms are added up in double precision: in single, the sum over a thousand
        # atoms is good to 10 meV only, and no drift of the conserved energy could be seen.
        energies = out["node_energy"].detach().cpu().numpy().astype(np.float64)
        stresses = out["stress"].detach().cpu().numpy().astype(np.float64) if stress else None
        return {
            key: Evaluation(
                float(energies[starts[k] : starts[k + 1]].sum()),
                forces[starts[k] : starts[k + 1]],
                None if stresses is None else (stresses[k] + stresses[k].T) / 2.0,
            )
            for k, key in enumerate(systems)
        }

    def compile(self, systems: Mapping[int, Atoms], stress: bool) -> None:
        """Compile the model for graphs of as many systems, and see that its results stay.

        Raises
        ------
        ValueError
            Torch cannot compile it here, or results differ; says what to do.
        """
        rng = np.random.default_rng(0)
        shaken = {}
        for key, atoms in systems.items():
            shaken[key] = Atoms(atoms)  # displaced, or symmetry makes forces zero and all right
            shaken[key].positions += rng.normal(scale=0.05, size=atoms.positions.shape)
        expected = self.evaluate(shaken, stress)
        model, self._model = self._model, compiled(self._model, self._device)
        try:
            found = self.evaluate(shaken, stress)
        except Exception as error:  # torch's compilers raise anything
            self._model = model
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            raise ValueError(
                "compile_model: torch cannot compile the model here; it needs a C++ compiler (g++, "
                f"or CXX) and Python's headers, else leave it out: {reason}"
            ) from error
        finally:
            self._lists.clear()
        tolerance = _COMPILED_TOLERANCE[self._dtype.itemsize]
        for key, one in expected.items():
            away = np.abs(found[key].forces - one.forces).max()
            energy = abs(found[key].energy_ev - one.energy_ev) / len(shaken[key])
            if not max(away, energy) < tolerance:  # NaN as well
                raise ValueError(
                    f"compile_model: compiled, the model gives forces {away:.1g} eV/Å and energies "
                    f"{energy:.1g} eV per atom away from what they were: leave it out"
                )

    def anchor(self, key: int) -> Anchor | None:
        """Return the positions and the cell that the neighbour list was built with."""
        return self._list(key).anchor

    def restore(self, key: int, anchor: Anchor | None) -> None:
        """Build the neighbour list where it was built before."""
        if anchor is not None:
            self._list(key).build(*anchor)

    def _list(self, key: int) -> SkinList:
        new = SkinList(self._cutoff, self._skin, self._device, self._dtype)
        return self._lists.setdefault(key, new)

    def _constants(self, systems: Mapping[int, Atoms]) -> dict[str, Any]:
        """Return what does not change while the same systems are evaluated."""
        signature = [(key, atoms.numbers.tobytes()) for key, atoms in systems.items()]
        if self._fixed is None or self._fixed[0] != signature:
            torch = self._torch
            sizes = [len(atoms) for atoms in systems.values()]
            starts = np.concatenate([[0], np.cumsum(sizes)])
            ranks = self._rank[np.concatenate([atoms.numbers for atoms in systems.values()])]
            kinds = int((self._rank >= 0).sum())
            tensors = {
                "node_attrs": torch.from_numpy(np.eye(kinds)[ranks]).to(self._dtype),
                "batch": torch.from_numpy(np.repeat(np.arange(len(sizes)), sizes)),
                "ptr": torch.from_numpy(starts),
                "head": torch.full((len(sizes),), self._head, dtype=torch.long),
            }
            moved = {name: tensor.to(self._device) for name, tensor in tensors.items()}
            self._fixed = signature, {"starts": starts, "tensors": moved}
        return self._fixed[1]


def _matrix(stress: Any) -> Array:
    """Return a stress as (3, 3), from ASE's order xx, yy, zz, yz, xz, xy if need be."""
    values = np.asarray(stress, dtype=np.float64)
    if values.shape == (6,):
        values = values[[[0, 5, 4], [5, 1, 3], [4, 3, 2]]]
    return values
