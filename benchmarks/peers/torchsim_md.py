"""MD with TorchSim in blocks of steps, one per line of standard input, as `ours/md_blocks.py`.

NVT Langevin in single precision without stress; all replicas in one batch, nothing written.
Usage: torchsim_md.py STRUCTURE MODEL REPLICAS THREADS
"""

import contextlib
import io
import json
import os
import sys
import time
import warnings

import ase.io

warnings.simplefilter("ignore")
os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"
with contextlib.redirect_stdout(io.StringIO()):
    import mace.calculators  # noqa: F401  before any other import of e3nn
    import torch
    import torch_sim
    from torch_sim.models.mace import MaceModel

structure, model_file, replicas, threads = sys.argv[1:]
torch.set_num_threads(int(threads))
device, dtype = torch.device("cpu"), torch.float32
model = MaceModel(
    model=torch.load(model_file, map_location="cpu", weights_only=False),
    device=device,
    dtype=dtype,
    compute_stress=False,
)
systems = [ase.io.read(structure)] * int(replicas)
state = torch_sim.initialize_state(systems, device, dtype)
k_t = torch.tensor(500.0 * 8.617333262e-5, dtype=dtype)
time_step = torch.tensor(0.002, dtype=dtype) * torch_sim.units.MetalUnits.time
state = torch_sim.nvt_langevin_init(state, model, kT=k_t)
for line in sys.stdin:
    began = time.perf_counter()
    for _ in range(int(line)):
        state = torch_sim.nvt_langevin_step(state, model, dt=time_step, kT=k_t)
    print(json.dumps({"seconds": time.perf_counter() - began}), flush=True)
