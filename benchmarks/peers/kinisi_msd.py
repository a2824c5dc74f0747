"""kinisi: mean-square displacement and diffusion coefficient of the ions, from the H5MD file."""

from __future__ import annotations

import json
import sys
import time

import MDAnalysis
import numpy as np
import scipp as sc
from kinisi.analyze import DiffusionAnalyzer

LAGS = 100

path, n_ions, frames = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
interval_fs = float(sys.argv[4])
began = time.process_time()
reader = MDAnalysis.coordinates.H5MD.H5MDReader(path)
universe = MDAnalysis.Universe.empty(reader.n_atoms, trajectory=True)
universe.add_TopologyAttr("names", ["LI"] * n_ions + ["SI"] * (reader.n_atoms - n_ions))
universe.add_TopologyAttr("types", ["LI"] * n_ions + ["SI"] * (reader.n_atoms - n_ions))
universe.add_TopologyAttr("masses", [6.94] * n_ions + [28.085] * (reader.n_atoms - n_ions))
universe.trajectory = reader
universe.transfer_to_memory(stop=frames)
lags = np.unique(np.linspace(1, frames // 2, LAGS).astype(int)) * interval_fs
analyzer = DiffusionAnalyzer.from_universe(
    universe,
    specie="LI",
    time_step=interval_fs * sc.Unit("fs"),
    step_skip=1 * sc.units.dimensionless,
    dt=sc.array(dims=["time interval"], values=lags, unit="fs"),
    progress=False,
)
msd_s = time.process_time() - began
analyzer.diffusion(start_dt=float(lags[len(lags) // 5]) * sc.Unit("fs"), progress=False)
print(
    json.dumps(
        {
            "frames": frames,
            "d_cm2_s": float(sc.mean(analyzer.D).to(unit="cm^2/s").value),
            "msd_s": msd_s,
            "work_s": time.process_time() - began,
        }
    )
)
