"""Write a long trajectory as `limsm md` does, and say what a frame costs and what memory it takes.

Usage: md_writing.py FRAMES ATOMS FOLDER
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import psutil

from aiida_limsm.trajectory.segments import SegmentWriter, join_segments

frames, atoms, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
rng = np.random.default_rng(0)
positions = rng.normal(size=(64, atoms, 3)) * 20.0
writer = SegmentWriter(folder / "segments", [3] * atoms, np.eye(3) * 25.0, 0.02)
process = psutil.Process()
resident = {}
spent = time.process_time()
for step in range(frames):
    writer.append(positions[step % 64], step, 500.0, -1.0)
    if (step + 1) % 200 == 0:  # a checkpoint every 2000 steps
        writer.flush()
    if (step + 1) % (frames // 10) == 0:
        resident[step + 1] = process.memory_info().rss / 1e6
writing = time.process_time() - spent
join_segments(folder / "segments", folder / "trajectory.h5")
joining = time.process_time() - spent - writing
resident["joined"] = process.memory_info().rss / 1e6
said = {
    "frames": frames,
    "atoms": atoms,
    "ms_per_frame_writing": 1e3 * writing / frames,
    "ms_per_frame_joining": 1e3 * joining / frames,
    "file_gb": (folder / "trajectory.h5").stat().st_size / 1e9,
    "resident_mb": resident,
}
print(json.dumps(said))
