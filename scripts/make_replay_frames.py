"""Make the replay frames of the tests: a few Li-Si phases with the labels of the demo foundation.

The demo foundation was distilled from CHGNet, so a replay set needs CHGNet's labels too. These are
displaced and strained crystals that the foundation has not seen (another seed)::

    PYTHONPATH=. python scripts/make_replay_frames.py FILE.xyz      # where chgnet is installed

Every frame carries its phase (``config_type``); every fourth frame of a phase is marked ``valid``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import write
from make_demo_foundation import labelled, static_frames

from aiida_limsm.atomistic.crystals import lithium_silicide

SEED = 77
#: Frames of each phase: small cells, some without lithium to spare, none like the demo crystal.
PHASES = {
    "Li": ((2, 2, 2), 12),
    "Si": ((2, 2, 1), 12),
    "LiSi": ((1, 1, 1), 24),
    "Li13Si4": ((1, 1, 1), 12),
}


def main() -> None:
    """Sample, label with CHGNet, write."""
    import torch
    from chgnet.model import CHGNet, CHGNetCalculator

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("frames", type=Path)
    path = parser.parse_args().frames
    torch.set_num_threads(1)
    calculator = CHGNetCalculator(model=CHGNet.load(), use_device="cpu")
    frames: list[Atoms] = []
    for phase, (repeat, count) in PHASES.items():
        rng = np.random.default_rng([SEED, *phase.encode()])
        crystal = lithium_silicide(phase, primitive=True).repeat(repeat)
        # the crystal itself is in the foundation's training data
        for index, atoms in enumerate(static_frames(crystal, count + 1, rng)[1:]):
            atoms.calc = calculator
            frame = labelled(atoms)
            if np.abs(frame.arrays["REF_forces"]).max() < 15.0:
                frame.info.update(config_type=phase, split="train" if index % 4 else "valid")
                frames.append(frame)
        print(f"{phase}: {len(crystal)} atoms, {len(frames)} frames in all", flush=True)
    write(path, frames, format="extxyz", columns=["symbols", "positions", "REF_forces"])


if __name__ == "__main__":
    main()
