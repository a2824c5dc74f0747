"""GEMDAT: transitions between known sites and jumps, with its defaults."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
from gemdat import Trajectory
from pymatgen.core import Element, Structure

folder = Path(sys.argv[1])
began = time.process_time()
system = json.loads((folder / "system.json").read_text())
trajectory = Trajectory(
    species=[Element(symbol) for symbol in system["symbols"]],
    coords=np.load(folder / "positions.npy"),
    lattice=np.array(system["cell"]),
    constant_lattice=True,
    time_step=system["interval_ps"] * 1e-12,
    metadata={"temperature": 700},
)
sites = Structure(system["cell"], ["Li"] * len(system["sites"]), system["sites"])
transitions = trajectory.transitions_between_sites(sites, "Li")
assigned = time.process_time()
jumps = transitions.jumps()
print(
    json.dumps(
        {
            "jumps": int(jumps.n_jumps),
            "assignment_s": assigned - began,
            "work_s": time.process_time() - began,
        }
    )
)
