"""Several MD runs in step, their forces evaluated together.

An ASE integrator asks for forces in the middle of its step. Each run is therefore a greenlet: where
it needs forces it hands over its atoms and waits, and when all runs wait, the engine evaluates
them in one go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from ase.calculators.calculator import Calculator, all_changes
from greenlet import getcurrent, greenlet

from .engine import Engine, Evaluation


class EngineCalculator(Calculator):
    """The ASE face of one system of an engine.

    Net forces are taken off in proportion to the masses: they are rounding errors of the model,
    and would set the centre of mass moving. Stresses are computed for a run with ``stress`` only.
    """

    implemented_properties = ["energy", "free_energy", "forces", "stress"]

    def __init__(self, engine: Engine, key: int = 0, stress: bool = False) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.engine = engine
        self.key = key
        self.stress = stress
        self.evaluations = 0

    def calculate(
        self, atoms: Any = None, properties: Any = None, system_changes: Any = all_changes
    ) -> None:
        """Evaluate, together with the other runs where this is one of several."""
        super().calculate(atoms, properties, system_changes)  # type: ignore[no-untyped-call]
        structure: Any = self.atoms
        parent = getcurrent().parent
        found: Evaluation
        if parent is None:
            found = self.engine.evaluate({self.key: structure}, self.stress)[self.key]
        else:
            found = parent.switch((self.key, structure))
        self.evaluations += 1
        masses = structure.get_masses()
        forces = found.forces - np.outer(masses / masses.sum(), found.forces.sum(axis=0))
        self.results = {
            "energy": found.energy_ev, "free_energy": found.energy_ev, "forces": forces,
        }  # fmt: skip
        if found.stress is not None:
            self.results["stress"] = found.stress[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]


def run_in_step(engine: Engine, runs: Mapping[int, Callable[[], None]], stress: bool) -> None:
    """Call functions that use :class:`EngineCalculator` of their key, in step with each other.

    Returns when all have returned. What one raises ends them all.
    """
    alive = {key: greenlet(run) for key, run in runs.items()}
    waiting: dict[int, Any] = {}
    answers: dict[int, Evaluation] = {}
    while alive:
        for key, run in list(alive.items()):
            asked = run.switch(answers[key]) if key in answers else run.switch()
            if run.dead:
                del alive[key]
                waiting.pop(key, None)
            else:
                waiting[key] = asked[1]
        answers = engine.evaluate({key: waiting[key] for key in alive}, stress) if alive else {}
