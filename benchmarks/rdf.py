"""CPU time of g(r) of all element pairs, beside MDAnalysis, on the same frames in memory."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import numpy as np
from measuring import save, table

R_MAX = 8.0
BIN = 0.05
DENSITY = 0.0654
"""Atoms per Å³, of Li11Si4."""

SIZES = {960: 40, 1920: 20, 4800: 8}
"""Atoms (the cell holds a sphere of R_MAX in all of them), and frames."""


def frames_of(atoms: int, frames: int) -> tuple[np.ndarray, float, np.ndarray]:
    """Atomic numbers, edge of a cubic cell (Å) and random positions (n, atoms, 3)."""
    rng = np.random.default_rng(0)
    edge = (atoms / DENSITY) ** (1 / 3)
    numbers = np.where(np.arange(atoms) % 15 < 11, 3, 14)
    return numbers, edge, (edge * rng.random((frames, atoms, 3))).astype(np.float32)


def ours(atoms: int, frames: int) -> tuple[float, float]:
    """CPU seconds, and the sum of all g(r) from 1 Å on."""
    from aiida_limsm.atomistic.rdf import RdfCounter

    numbers, edge, positions = frames_of(atoms, frames)
    RdfCounter(numbers, edge * np.eye(3), R_MAX, BIN).add(positions[:1])  # compiles
    begin = time.process_time()
    counter = RdfCounter(numbers, edge * np.eye(3), R_MAX, BIN, own_images=True)
    counter.add(positions)
    found = counter.curves().mean
    return time.process_time() - begin, float(found[:, 20:].sum())


def mdanalysis(atoms: int, frames: int) -> tuple[float, float]:
    """Do the same with one InterRDF per pair."""
    import MDAnalysis
    from MDAnalysis.analysis.rdf import InterRDF
    from MDAnalysis.transformations.boxdimensions import set_dimensions

    numbers, edge, positions = frames_of(atoms, frames)
    universe = MDAnalysis.Universe.empty(atoms, trajectory=True)
    universe.load_new(positions)
    universe.trajectory.add_transformations(set_dimensions([edge] * 3 + [90.0] * 3))
    li, si = universe.atoms[numbers == 3], universe.atoms[numbers == 14]
    begin = time.process_time()
    found = [
        InterRDF(*pair, nbins=round(R_MAX / BIN), range=(0.0, R_MAX)).run().results.rdf
        for pair in ((li, li), (li, si), (si, si))
    ]
    return time.process_time() - begin, float(np.array(found)[:, 20:].sum())


def main() -> None:
    """Run each in a process of its own and save milliseconds per frame."""
    results, rows = {}, []
    for atoms, frames in SIZES.items():
        seconds, sums = {}, {}
        for name in ("ours", "mdanalysis"):
            command = [sys.executable, __file__, name, str(atoms), str(frames)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            seconds[name], sums[name] = json.loads(done.stdout.splitlines()[-1])
        results[str(atoms)] = {"frames": frames, "cpu_s": seconds, "sum_of_g": sums}
        ratio = seconds["mdanalysis"] / seconds["ours"]
        milliseconds = [1e3 * seconds[name] / frames for name in ("ours", "mdanalysis")]
        apart = abs(sums["ours"] / sums["mdanalysis"] - 1)
        rows.append(
            [
                str(atoms),
                *(f"{value:.3g}" for value in milliseconds),
                f"{ratio:.1f}",
                f"{apart:.0e}",
            ]
        )
    head = ["atoms", "limsm, ms/frame", "MDAnalysis, ms/frame", "ratio", "g(r) apart"]
    save("rdf", results, {"cpu": table(head, rows)})


if __name__ == "__main__":
    if len(sys.argv) == 4:
        measured = {"ours": ours, "mdanalysis": mdanalysis}[sys.argv[1]]
        print(json.dumps(measured(int(sys.argv[2]), int(sys.argv[3]))))
    else:
        main()
