"""MDAnalysis: mean-square displacement of the ions by Fourier transform, from the H5MD file."""

from __future__ import annotations

import json
import sys
import time

import MDAnalysis
import numpy as np
from MDAnalysis.analysis.msd import EinsteinMSD

began = time.process_time()
path, n_ions, frames = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
interval_ps = float(sys.argv[4]) / 1000
reader = MDAnalysis.coordinates.H5MD.H5MDReader(path)
universe = MDAnalysis.Universe.empty(reader.n_atoms, trajectory=True)
universe.trajectory = reader
ions = universe.atoms[:n_ions]
run = EinsteinMSD(ions, msd_type="xyz", fft=True)
run.run(stop=frames)
msd = run.results.timeseries
n = len(msd)
time_ps = np.arange(n) * interval_ps
window = slice(n // 10, 4 * n // 10)
slope = np.polyfit(time_ps[window], msd[window], 1)[0]
print(json.dumps({"frames": n, "d_cm2_s": slope / 6 * 1e-4, "work_s": time.process_time() - began}))
