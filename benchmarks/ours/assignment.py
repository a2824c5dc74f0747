"""Assignment alone, blocks of frames in memory: atom-frames per CPU second, for both rules."""

from __future__ import annotations

import json
import sys
import time

import inputs
import numpy as np

from aiida_limsm.markov.assignment import SiteAssigner

frames, edge, repeats = int(sys.argv[1]), 2, 3
trajectory = inputs.hopping(frames, edge)
lattice, ions = trajectory.network.lattice, trajectory.n_ions
# four megabytes each, as limsm analyse reads them
blocks = [
    np.ascontiguousarray(block[:, :ions]) for block in trajectory.blocks(4_000_000 // (12 * ions))
]
said = {"true_jumps": trajectory.count_jumps()}
for rule in ("core", "nearest"):
    SiteAssigner(lattice, ions, rule).add(blocks[0])  # compiled, or loaded from the cache
    spent = []
    for _ in range(repeats):
        assigner = SiteAssigner(lattice, ions, rule)
        began = time.process_time()
        for block in blocks:
            assigner.add(block)
        jumps = assigner.finish().n_jumps
        spent.append(time.process_time() - began)
    said[f"{rule}_atom_frames_per_s"] = frames * ions / float(np.median(spent))
    said[f"{rule}_jumps"] = jumps
print(json.dumps(said))
