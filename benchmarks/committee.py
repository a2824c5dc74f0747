"""Spread of a committee against its true error on held-out structures that vary, labels by pw.x."""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import ase.io
import h5py
import numpy as np
from ase import Atoms
from ase.calculators.espresso import Espresso, EspressoProfile
from committee_figure import draw
from measuring import LIMSM, RESULTS, ROOT, SCRATCH, measure, note, save, table

from aiida_limsm.atomistic.committee import calibrate, rank_correlation
from aiida_limsm.atomistic.crystals import li3si, li11si4, lithium_silicide
from aiida_limsm.atomistic.evaluation import rms
from aiida_limsm.cli.resources import find_program, program_folders, pseudo_folder
from aiida_limsm.compute.evaluate_file import PARITY_FILENAME

FOUNDATION = ROOT / "aiida_limsm" / "resources" / "demo_foundation" / "demo_foundation.model"
WORK = SCRATCH / "committee"
MEMBERS = 4
STRATEGIES: dict[str, dict[str, Any]] = {
    "fine-tuned": {"learning_rate": 3e-3, "max_epochs": 40},
    "from scratch": {
        "strategy": "scratch",
        "foundation_file": None,
        "architecture": {},
        "learning_rate": 1e-2,
        "max_epochs": 100,
    },
}
#: Which members have all frames: all of them, the first, none.
KINDS = {"other seeds": MEMBERS, "all but the first drawn": 1, "all drawn": 0}
SAMPLES = 400
#: Committees in the figure.
SHOWN = (
    "fine-tuned, other seeds",
    "fine-tuned, all but the first drawn",
    "from scratch, other seeds",
)
#: Groups of frames in the figure, each with how many groups of the table it holds.
COLOURS = {"like the training": 4, "displaced by 0.2, 0.3 Å": 2, "strained": 1, "other defects": 4,
           "other compositions": 3}  # fmt: skip


def main() -> None:
    """Label, train, and compare spread and error of every committee."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--again", action="store_true", help="keep labels and models of last time")
    if not parser.parse_args().again:
        shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True, exist_ok=True)
    aimd = ase.io.read(ROOT / "examples" / "li3si" / "aimd.xyz.gz", ":")
    groups = held_out(aimd)
    test = [atoms for frames in groups.values() for atoms in frames]
    for name, frames in {**training(aimd), "test": test}.items():
        label(name, frames)
    sizes = {group: len(frames) for group, frames in groups.items()}
    results, rows, by_group, points = {}, [], [], {}
    for strategy in STRATEGIES:
        for kind, whole in KINDS.items():
            name = f"{strategy}, {kind}"
            found = Judged(members(strategy, whole), name)
            results[name] = found.summary(sizes)
            rows.append([name, *found.row()])
            if whole != 0:
                by_group.append((name, found))
                if name in SHOWN:
                    points[name] = found.points(sizes)
    header = ["four members", "`potential`", "mean of four", "spread", "α", "deviation"]
    header += ["rank, atoms", "rank, frames", "rank of force size"]
    tables = {"committees": table(header, rows), "groups": group_table(sizes, by_group)}
    save("committee", {"frames": sizes, **results}, tables)
    draw(points, RESULTS / "committee.png")


def displaced(atoms: Atoms, amplitude: float, seed: int) -> Atoms:
    """Return a copy with normal displacements (Å, per component)."""
    moved = atoms.copy()
    moved.rattle(amplitude, seed=seed)
    return moved


def strained(atoms: Atoms, strain: np.ndarray) -> Atoms:
    """Return a copy with another cell, atoms carried along."""
    changed = atoms.copy()
    changed.set_cell(atoms.cell @ (np.eye(3) + strain), scale_atoms=True)
    return changed


def training(aimd: list[Atoms]) -> dict[str, list[Atoms]]:
    """Return what a project begins with: a short run, and small displacements and strains."""
    train = aimd[:100:4]
    train += [displaced(li11si4(), 0.1, seed) for seed in range(6)]
    train += [displaced(li3si(), 0.1, seed) for seed in range(10, 14)]
    train += [
        displaced(strained(li11si4(), size * np.eye(3)), 0.05, 20 + k)
        for k, size in enumerate((-0.02, -0.01, 0.01, 0.02))
    ]
    valid = [*aimd[2:100:24], displaced(li11si4(), 0.1, 30), displaced(li3si(), 0.1, 31)]
    return {"train": train, "valid": valid}


def held_out(aimd: list[Atoms]) -> dict[str, list[Atoms]]:
    """Return frames like those of the training, and ever less like them."""
    groups = {"later in the run": aimd[101:150:6]}
    for k, amplitude in enumerate((0.02, 0.05, 0.1, 0.2, 0.3)):
        groups[f"displaced by {amplitude} Å"] = [
            displaced(li11si4(), amplitude, 100 + 10 * k + seed) for seed in range(3)
        ]
    shear = np.array([[0, 1, 0], [1, 0, 0], [0, 0, 0]])
    groups["strained by 3 to 8 %"] = [
        displaced(strained(li11si4(), strain), 0.05, 200 + k)
        for k, strain in enumerate(
            (-0.06 * np.eye(3), -0.03 * np.eye(3), 0.04 * np.eye(3), 0.08 * np.eye(3),
             0.04 * shear, 0.08 * shear)
        )
    ]  # fmt: skip
    groups["no vacancy (Li12Si4)"] = [
        displaced(li3si(), amplitude, 300 + k) for k, amplitude in enumerate((0.05, 0.05, 0.2, 0.2))
    ]
    groups["Li on its way into the vacancy"] = [
        displaced(hop(part), 0.05, 400 + k) for k, part in enumerate((0.25, 0.4, 0.5, 0.6))
    ]
    groups["interstitial, as a dumbbell"] = [displaced(dumbbell(), 0.05, 500 + k) for k in range(3)]
    groups["Li and Si exchanged"] = [displaced(exchanged(), 0.05, 600 + k) for k in range(3)]
    groups["LiSi (mp-795)"] = [
        displaced(lithium_silicide("LiSi", primitive=True), amplitude, 700 + k)
        for k, amplitude in enumerate((0.03, 0.08, 0.15, 0.2))
    ]
    for name, numbers in (("Li14Si2", (12, 13)), ("Li8Si8", (0, 1, 2, 3))):
        groups[f"{name} on the sites of Li3Si"] = [
            displaced(other(numbers), 0.08, 800 + k) for k in range(3)
        ]
    return groups


def hop(part: float) -> Atoms:
    """Return Li11Si4 with the Li nearest to the vacancy a part of its way there."""
    atoms, vacancy = li11si4(), li3si().positions[0]
    vectors = vacancy - atoms.positions
    vectors -= atoms.cell.lengths() * np.round(vectors / atoms.cell.lengths())
    lithium = atoms.numbers == 3
    nearest = int(np.argmin(np.where(lithium, np.linalg.norm(vectors, axis=1), np.inf)))
    atoms.positions[nearest] += part * vectors[nearest]
    return atoms


def dumbbell() -> Atoms:
    """Return Li11Si4 with two Li, 2.1 Å apart along [110], on one of its Li sites."""
    atoms = li11si4()
    # in cells, from the vacancy in the middle
    distances = np.linalg.norm(atoms.get_scaled_positions() - 0.5, axis=1)
    farthest = int(np.argmax(np.where(atoms.numbers == 3, distances, -1)))
    half = 1.05 * np.array([1.0, 1.0, 0.0]) / np.sqrt(2)
    centre = atoms.positions[farthest].copy()
    atoms.positions[farthest] = centre + half
    return atoms + Atoms("Li", positions=[centre - half])


def exchanged() -> Atoms:
    """Return Li11Si4 with a Si and one of its Li neighbours in each other's place."""
    atoms = li11si4()
    silicon = int(np.flatnonzero(atoms.numbers == 14)[0])
    lithium = np.flatnonzero(atoms.numbers == 3)
    near = lithium[np.argmin(atoms.get_distances(silicon, lithium, mic=True))]
    atoms.positions[[silicon, near]] = atoms.positions[[near, silicon]]
    return atoms


def other(numbers: tuple[int, ...]) -> Atoms:
    """Return Li3Si with some of its atoms of the other element."""
    atoms = li3si()
    for number in numbers:
        atoms.numbers[number] = {3: 14, 14: 3}[int(atoms.numbers[number])]
    return atoms[np.argsort(atoms.numbers, kind="stable")]


def label(name: str, frames: list[Atoms]) -> None:
    """Write frames with pw.x's labels, in the settings of the run; it has its own already."""
    path = WORK / f"{name}.xyz"
    if path.exists():
        return
    program = find_program("pw.x", program_folders())
    if program is None:
        raise SystemExit("pw.x is missing: run `make setup`")
    files = {file.name.split(".")[0]: file.name for file in pseudo_folder().glob("*.UPF")}
    done = []
    for number, atoms in enumerate(frames):
        note(f"{name} {number + 1}/{len(frames)}")
        labelled = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True)
        if "REF_energy" in atoms.info:
            energy, forces = atoms.info["REF_energy"], atoms.arrays["REF_forces"]
            stress = np.reshape(atoms.info["REF_stress"], (3, 3))
        else:
            labelled.calc = Espresso(
                profile=EspressoProfile(str(program), str(pseudo_folder())),
                pseudopotentials=files,
                directory=WORK / "pw",
                kpts=(2, 2, 2),
                koffset=(1, 1, 1),
                input_data={
                    "control": {"tprnfor": True, "tstress": True},
                    "system": {
                        "ecutwfc": 12,
                        "nosym": True,
                        "occupations": "smearing",
                        "smearing": "mv",
                        "degauss": 0.02,
                    },
                    "electrons": {"conv_thr": 1e-7, "mixing_beta": 0.4},
                },
            )
            energy, forces = labelled.get_potential_energy(), labelled.get_forces()
            stress = labelled.get_stress(voigt=False)
            labelled.calc = None
        labelled.info.update(REF_energy=energy, REF_stress=stress)
        labelled.arrays["REF_forces"] = forces
        done.append(labelled)
    shutil.rmtree(WORK / "pw", ignore_errors=True)
    ase.io.write(path, done)


def members(strategy: str, whole: int) -> list[Path]:
    """Return the models of a committee, of which so many have all frames; train what is missing."""
    return [model(strategy, seed, resample=seed > whole) for seed in range(1, MEMBERS + 1)]


def model(strategy: str, seed: int, resample: bool) -> Path:
    """Train with ``limsm train``."""
    where = WORK / f"{strategy.replace(' ', '_')}-{seed}{'-drawn' if resample else ''}"
    path = where / "potential.model"
    if not path.exists():
        note(f"limsm train in {where.name}")
        where.mkdir(exist_ok=True)
        for split in ("train", "valid"):
            shutil.copyfile(WORK / f"{split}.xyz", where / f"{split}.xyz")
        shutil.copyfile(FOUNDATION, where / "foundation.model")
        job = {
            **STRATEGIES[strategy],
            "e0s": "estimated",
            "seed": seed,
            "resample_frames": resample,
        }
        (where / "input.json").write_text(json.dumps(job))
        measure([LIMSM, "train", "--no-figure", where / "input.json"])
    return path


class Judged:
    """What ``limsm evaluate`` says of a committee on the held-out frames, and errors of that."""

    def __init__(self, models: list[Path], name: str) -> None:
        where = WORK / "evaluation"
        first, *others = models
        command = [LIMSM, "evaluate", first, WORK / "test.xyz", "--no-figures", "-o", where]
        for path in others:
            command += ["--committee", path]
        note(f"limsm evaluate: {name}")
        measure(command)
        results = json.loads((where / "results.json").read_text())
        self.errors: dict[str, Any] = results["errors"]["test"]
        self.committee: dict[str, Any] = results["committee"]["test"]
        with h5py.File(where / PARITY_FILENAME) as file:
            group = file["test"]
            self.spread = group["committee_spread"][()]
            self.error = group["committee_error"][()]
            self.size = np.linalg.norm(group["forces"][:, 1], axis=1)
            ends = np.cumsum(group["n_atoms"][()])
        self.atoms = [np.arange(a, b) for a, b in zip([0, *ends[:-1]], ends, strict=True)]
        assert np.isclose(
            rank_correlation(self.spread, self.error), self.committee["rank_correlation_atoms"]
        )

    def ranks(self, frames: np.ndarray) -> dict[str, float]:
        """Return rank correlations on some frames: of atoms, of frames, of the force's size."""
        parts = [self.atoms[frame] for frame in frames]
        atoms = np.concatenate(parts)
        largest = np.array([(self.spread[p].max(), self.error[p].max()) for p in parts])
        pairs = {
            "rank_atoms": (self.spread[atoms], self.error[atoms]),
            "rank_frames": (largest[:, 0], largest[:, 1]),
            "rank_force_size": (self.size[atoms], self.error[atoms]),
        }
        found = {name: rank_correlation(*pair) for name, pair in pairs.items()}
        return {name: np.nan if value is None else value for name, value in found.items()}

    def judge(self, frames: np.ndarray) -> dict[str, float]:
        """Return α, the deviation from it, and rank correlations on some frames."""
        atoms = np.concatenate([self.atoms[frame] for frame in frames])
        found = calibrate(self.spread[atoms], self.error[atoms])
        assert found.factor is not None
        assert found.deviation is not None
        return {"factor": found.factor, "deviation": found.deviation, **self.ranks(frames)}

    def judged(self) -> dict[str, tuple[float, float]]:
        """Return the same of all frames, with standard errors by the bootstrap over frames."""
        generator, number = np.random.default_rng(0), len(self.atoms)
        drawn = [
            self.judge(frames) for frames in generator.integers(number, size=(SAMPLES, number))
        ]
        return {
            name: (value, float(np.std([sample[name] for sample in drawn])))
            for name, value in self.judge(np.arange(number)).items()
        }

    def row(self) -> list[str]:
        """Return the cells of the first table."""
        found, judged = self.committee, self.judged()
        factor, error = judged.pop("factor")
        return [
            f"{self.errors['rmse_forces_mev_per_angstrom']:.0f}",
            f"{found['rmse_mean_forces_mev_per_angstrom']:.0f}",
            f"{found['rms_spread_mev_per_angstrom']:.1f}",
            f"{factor:.1f} ± {error:.1f}",
            *(f"{value:.2f} ± {error:.2f}" for value, error in judged.values()),
        ]

    def of_groups(self, sizes: dict[str, int]) -> dict[str, dict[str, float]]:
        """Return error and spread (meV/Å) in every group of frames, and rank correlations there."""
        ends = np.cumsum(list(sizes.values()))
        found = {}
        for group, end in zip(sizes, ends, strict=True):
            frames = np.arange(end - sizes[group], end)
            atoms = np.concatenate([self.atoms[frame] for frame in frames])
            found[group] = {
                "error": 1e3 * rms(self.error[atoms]),
                "spread": 1e3 * rms(self.spread[atoms]),
                "rank_atoms": self.ranks(frames)["rank_atoms"],
            }
        return found

    def points(self, sizes: dict[str, int]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Return spread and error of the atoms (eV/Å) by the kinds of frames in the figure."""
        ends = np.cumsum(list(sizes.values()))[np.cumsum(list(COLOURS.values())) - 1]
        found = {}
        for kind, begin, end in zip(COLOURS, [0, *ends[:-1]], ends, strict=True):
            atoms = np.concatenate(self.atoms[begin:end])
            found[kind] = (self.spread[atoms], self.error[atoms])
        return found

    def summary(self, sizes: dict[str, int]) -> dict[str, Any]:
        """Return everything for the results."""
        return {
            "errors": self.errors,
            "committee": self.committee,
            "judged": self.judged(),
            "groups": self.of_groups(sizes),
        }


def group_table(sizes: dict[str, int], judged: list[tuple[str, Judged]]) -> str:
    """Return error, spread and rank correlation, group by group."""
    header = ["held out", "frames"]
    rows = [[group, str(number)] for group, number in sizes.items()]
    for name, found in judged:
        header.append(name)
        for row, values in zip(rows, found.of_groups(sizes).values(), strict=True):
            row.append(
                f"{values['error']:.0f} / {values['spread']:.0f} / {values['rank_atoms']:.2f}"
            )
    return table(header, rows)


if __name__ == "__main__":
    main()
