"""site-analysis: Voronoi sites and their transition table.

Frames are handed over without the pymatgen Structure that its guides make for each of them: it
reads only their fractional coordinates and the cell, and is faster so.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from pymatgen.core import Structure
from site_analysis import create_trajectory_with_voronoi_sites

folder = Path(sys.argv[1])
began = time.process_time()
system = json.loads((folder / "system.json").read_text())
positions = np.load(folder / "positions.npy")
first = Structure(system["cell"], system["symbols"], positions[0])
trajectory = create_trajectory_with_voronoi_sites(
    structure=first, mobile_species="Li", centres=system["sites"]
)
lattice = SimpleNamespace(matrix=np.array(system["cell"]))
for number, frame in enumerate(positions, 1):
    structure = SimpleNamespace(frac_coords=frame.astype(np.float64), lattice=lattice)
    trajectory.append_timestep(structure, t=number)
assigned = time.process_time()
counts = trajectory.transition_counts_by_site().matrix
print(
    json.dumps(
        {
            "jumps": int(counts.sum() - np.trace(counts)),
            "assignment_s": assigned - began,
            "work_s": time.process_time() - began,
        }
    )
)
