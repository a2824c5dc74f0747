"""Assignment and jump counting from an H5MD file, through the Python interface."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np

from aiida_limsm.markov.assignment import SiteAssigner
from aiida_limsm.markov.counts import count_transitions
from aiida_limsm.markov.paths import jump_table
from aiida_limsm.markov.sites import SiteLattice
from aiida_limsm.trajectory.h5md import Trajectory
from aiida_limsm.trajectory.ions import IonStream, align

path, crystal, rule = Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text()), sys.argv[3]
began = time.process_time()
with Trajectory(path) as trajectory:
    numbers = trajectory.numbers
    lattice = SiteLattice.from_structure(
        crystal["cell"], crystal["scaled"], crystal["numbers"], mobile_number=3, symbol="Li"
    )
    masses = np.where(numbers == 3, 6.94, 28.085)
    alignment = align(trajectory, np.flatnonzero(numbers != 3), masses, lattice)
    stream = IonStream(trajectory, np.flatnonzero(numbers == 3), alignment)
    assigner = SiteAssigner(lattice, stream.n_ions, rule)
    for block in stream.blocks():
        assigner.add(block)
    paths = assigner.finish()
table = jump_table(paths, lattice, trajectory.frame_interval_ps)
counts = count_transitions(paths, lattice.n_sites, 1)
print(
    json.dumps(
        {
            "jumps": int(table.jumps.sum()),
            "kinds": len(table.jumps),
            "windows": float(counts.count.sum()),
            "work_s": time.process_time() - began,
        }
    )
)
