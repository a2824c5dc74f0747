"""Is D right, and is its error? ``limsm analyse`` with its default settings, on known answers.

Ions hop on networks whose diffusion tensor is known in closed form (:mod:`aiida_limsm.markov.
synthetic`), independently of one another but in the last part. Crystals are turned in space.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from exactness_figure import draw
from exactness_tables import tables
from measuring import RESULTS, note, save

from aiida_limsm.markov.analysis import analyse
from aiida_limsm.markov.findings import Analysis, Settings
from aiida_limsm.markov.sites import SiteLattice
from aiida_limsm.markov.synthetic import HoppingNetwork, HoppingTrajectory, random_rotation
from aiida_limsm.markov.synthetic_exclusion import ExclusionTrajectory, single_vacancy_tensor
from aiida_limsm.markov.synthetic_networks import (
    d0_3_network,
    interstitial_network,
    orthorhombic_network,
    reversible_network,
    site_lattice,
    triclinic_network,
)
from aiida_limsm.trajectory.unwrap import Unwrapper

INTERVAL_PS = 0.02
VIBRATION_ANGSTROM = 0.25
BOX = 3 * np.eye(3, dtype=np.int64)
UPPER = np.triu_indices(3)


def prepared(network: HoppingNetwork, turn: int, jumps_per_ps: float = 1.0) -> HoppingNetwork:
    """Turn the crystal, set the jumps per ion and ps, and leave the framework out."""
    turned = network.with_jump_rate(jumps_per_ps).rotated(random_rotation(turn))
    return replace(turned, lattice=site_lattice(turned.lattice.cell, turned.lattice.positions))


def networks() -> dict[str, HoppingNetwork]:
    """Return the crystals, one jump per ion and ps."""
    made = {
        "triclinic 1": triclinic_network(1),
        "triclinic 2": triclinic_network(2, energy_spread_kt=1.5),
        "triclinic 3": triclinic_network(3, n_sites=3, energy_spread_kt=1.0),
        "orthorhombic 1": orthorhombic_network(1),
        "orthorhombic 2": orthorhombic_network(2, anisotropy_kt=3.0),
        "D0_3": d0_3_network(),
        "through interstitials": interstitial_network(),
    }
    return {name: prepared(network, turn) for turn, (name, network) in enumerate(made.items())}


@dataclass
class Blocks:
    """Frames that are given as they are."""

    n_frames: int
    n_ions: int
    frame_interval_ps: float
    made: Callable[[], Iterator[Any]]

    def blocks(self) -> Iterator[Any]:
        """Yield the frames."""
        return self.made()


def run(
    source: Any, lattice: SiteLattice, seed: int = 0, supercell: Any = BOX, **choices: Any
) -> Analysis:
    """Analyse with the default settings, but for ``choices``."""
    return analyse([source], lattice, supercell, Settings(seed=seed, **choices))


def hopping(network: HoppingNetwork, ions: int, frames: int, seed: int, **more: Any) -> Any:
    """Return frames of independent ions."""
    more = {"vibration_angstrom": VIBRATION_ANGSTROM} | more
    return HoppingTrajectory(network, ions, frames, INTERVAL_PS, BOX, seed, **more)


def third(tensor: Any) -> float:
    """Return a third of the trace."""
    return float(np.trace(tensor)) / 3.0


def long_runs(frames: int, seeds: int) -> list[dict[str, Any]]:
    """104 ions, many frames: bias, and every element of the tensor in units of its error."""
    rows = []
    for number, (name, network) in enumerate(networks().items()):
        exact = network.diffusion_tensor()
        for seed in range(100 * number, 100 * number + seeds):
            found = run(hopping(network, 104, frames, seed), network.lattice, seed)
            score = (found.markov.tensor - exact) / found.markov.error_tensor
            rows.append(
                {
                    "network": name,
                    "seed": seed,
                    "exact_cm2_s": exact.tolist(),
                    "ratio": found.markov.value / third(exact),
                    "ratio_error": found.markov.error / third(exact),
                    "largest_element_sigma": float(np.abs(score).max()),
                    "msd_ratio": found.msd.value / third(exact),
                    "msd_ratio_error": found.msd.error / third(exact),
                    "lag_ps": found.lag_ps,
                }
            )
            note(f"{name} {seed}: {rows[-1]['ratio']:.4f}")
    return rows


def within(scores: Any, sigmas: float = 2.0) -> float:
    """Return the share of scores below ``sigmas`` in size."""
    return float((np.abs(scores) < sigmas).mean()) if len(scores) else float("nan")


def coverage(
    make: Callable[[int], Any], lattice: SiteLattice, exact: Any, replicates: int
) -> dict[str, Any]:
    """Analyse many runs of one kind, and count how often 2 errors hold the truth."""
    values: dict[str, list[Any]] = {key: [] for key in ("markov", "msd", "elements", "haven")}
    ratios, lags = [], []
    for seed in range(replicates):
        found = run(make(seed), lattice, seed)
        for key, one in (("markov", found.markov), ("msd", found.msd)):
            values[key].append((one.value - third(exact)) / one.error)
        score = (found.markov.tensor - exact) / found.markov.error_tensor
        values["elements"].append(score[UPPER])
        if found.haven.resolved:
            values["haven"].append((found.haven.value - 1.0) / found.haven.error)
        ratios.append((found.markov.value / third(exact), found.markov.error / third(exact)))
        lags.append(found.lag_ps)
    ratio, error = np.array(ratios).T
    return {
        "replicates": replicates,
        "mean_ratio": float(ratio.mean()),
        "scatter": float(ratio.std(ddof=1)),
        "claimed": float(np.sqrt((error**2).mean())),
        "median_lag_ps": float(np.median(lags)),
        "markov_2sigma": within(values["markov"]),
        "elements_2sigma": within(np.concatenate(values["elements"])),
        "msd_2sigma": within(values["msd"]),
        "haven_2sigma": within(values["haven"]),
        "haven_resolved": len(values["haven"]) / replicates,
        "ratios": ratio.tolist(),
        "errors": error.tolist(),
    }


def _short(network: HoppingNetwork, first_seed: int, seed: int) -> Any:
    return hopping(network, 24, 1000, first_seed + seed)


def short_runs(replicates: int) -> list[dict[str, Any]]:
    """24 ions for 20 ps, some 450 jumps."""
    rows = []
    for number, (name, network) in enumerate(networks().items(), start=1):
        row = coverage(
            partial(_short, network, 10_000 * number),
            network.lattice,
            network.diffusion_tensor(),
            replicates,
        )
        rows.append({"network": name, **row})
        note(f"{name}: {row['markov_2sigma']:.0%} of {replicates}")
    return rows


def recrossing(frames: int) -> list[dict[str, Any]]:
    """Vibrations that carry ions across the faces between sites."""
    rows = []
    for name in ("D0_3", "through interstitials"):
        network = networks()[name]
        exact = third(network.diffusion_tensor())
        for sigma in (0.25, 0.35, 0.40, 0.45):
            source = hopping(network, 104, frames, 5, vibration_angstrom=sigma)
            found = run(source, network.lattice)
            near = run(source, network.lattice, assignment="nearest")
            raw = run(source, network.lattice, assignment="nearest", lag_ps=INTERVAL_PS)
            rows.append(
                {
                    "network": name,
                    "vibration_angstrom": sigma,
                    "default": found.markov.value / exact,
                    "default_error": found.markov.error / exact,
                    "default_lag_ps": found.lag_ps,
                    "nearest": near.markov.value / exact,
                    "nearest_error": near.markov.error / exact,
                    "nearest_lag_ps": near.lag_ps,
                    "nearest_at_lag_1": raw.markov.value / exact,
                }
            )
            note(f"{name} {sigma}: {found.markov.value / exact:.3f}")
    return rows


def same_answer(frames: int) -> list[dict[str, Any]]:
    """Give the same frames and sites in other ways."""
    network = prepared(triclinic_network(4), 9)
    box = 2 * BOX  # two jumps between two frames are no half of it, so that it can be unwrapped
    source = replace(hopping(network, 24, frames, 3), supercell=box)
    x = np.concatenate(list(source.blocks()))
    lattice, ions = network.lattice, x.shape[1]

    def given(positions: Any) -> Blocks:
        return Blocks(frames, ions, INTERVAL_PS, lambda: iter([positions]))

    def unwrapped() -> Iterator[Any]:
        unwrap = Unwrapper(source.cell, "wrapped frames")
        return (unwrap(block) for block in replace(source, wrapped=True).blocks(500))

    turn = random_rotation(77)
    turned = replace(lattice, cell=lattice.cell @ turn, positions=lattice.positions @ turn)
    skew = np.array([[1, 1, 0], [0, 1, -1], [0, 0, 1]])
    grown = lattice.expand(np.diag([3, 1, 1]))
    base = run(given(x), lattice, supercell=box)
    d = base.markov.tensor
    other = np.rint(box @ np.linalg.inv(skew)).astype(np.int64)
    cases: dict[str, tuple[Analysis, Any]] = {
        "turned in space": (
            run(given(x.astype(np.float64) @ turn), turned, supercell=box), turn,
        ),
        "other lattice vectors": (
            run(given(x), site_lattice(skew @ lattice.cell, lattice.positions), supercell=other),
            np.eye(3),
        ),
        "sites given in a supercell": (run(given(x), grown.primitive(), supercell=box), np.eye(3)),
        "wrapped into the MD cell": (
            run(Blocks(frames, ions, INTERVAL_PS, unwrapped), lattice, supercell=box), np.eye(3),
        ),
    }  # fmt: skip
    return [
        {
            "case": name,
            "jumps": found.jumps,
            "jumps_reference": base.jumps,
            "largest_difference": float(np.abs(r @ found.markov.tensor @ r.T - d).max() / third(d)),
            "difference_of_the_error": abs(found.markov.error / base.markov.error - 1.0),
        }
        for name, (found, r) in cases.items()
    ]


def few_jumps(replicates: int) -> list[dict[str, Any]]:
    """8 ions for 10 ps that hardly move: what is quoted, and whether the bound holds."""
    rows = []
    for mean in (0, 1, 3, 6, 10, 20, 40):
        network = prepared(d0_3_network(), 3, max(mean, 1e-9) / 80.0)
        exact = third(network.diffusion_tensor())
        resolved, held, good = 0, 0, 0
        for seed in range(replicates):
            one = run(hopping(network, 8, 500, 1000 * mean + seed), network.lattice, seed).markov
            if one.resolved:
                resolved += 1
                good += abs(one.value - exact) < 2 * one.error
            else:
                held += one.upper_bound is not None and one.upper_bound >= exact
        wrong = replicates - resolved - held
        rows.append(
            {
                "jumps_expected": mean,
                "replicates": replicates,
                "resolved": resolved / replicates,
                "bound_fails": wrong / replicates,
                "value_fails": (resolved - good) / replicates,
            }
        )
        note(f"{mean} jumps: {resolved} of {replicates} resolved")
    return rows


def blocking(replicates: int) -> list[dict[str, Any]]:
    """One vacancy for all ions: they fall back into it, and move together."""
    cubic = reversible_network(site_lattice(3.0 * np.eye(3), [[0, 0, 0]]), 3.1, [0.0], 1.0)
    full = d0_3_network(1.0, 0.0)
    rows = []
    for name, network in (("simple cubic", cubic), ("D0_3", full)):
        network = replace(
            network, lattice=site_lattice(network.lattice.cell, network.lattice.positions)
        )
        ions = network.n_sites * 27 - 1
        exact = single_vacancy_tensor(network, BOX)
        for frames in (2000, 20_000):
            row = coverage(
                partial(
                    ExclusionTrajectory,
                    network,
                    ions,
                    frames,
                    INTERVAL_PS,
                    BOX,
                    vibration_angstrom=VIBRATION_ANGSTROM,
                ),
                network.lattice,
                exact,
                replicates,
            )
            rows.append({"network": name, "ions": ions, "frames": frames, **row})
            note(f"one vacancy, {name}, {frames}: {row['mean_ratio']:.3f}")
    return rows


def main() -> None:
    """Measure, write JSON, tables and figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the work, not recorded")
    quick = parser.parse_args().quick
    began = time.monotonic()
    many = 12 if quick else 120
    found = {
        "long": long_runs(10_000 if quick else 100_000, 1 if quick else 2),
        "same": same_answer(1000 if quick else 5000),
        "recrossing": recrossing(10_000 if quick else 100_000),
        "short": short_runs(many),
        "few": few_jumps(30 if quick else 300),
        "blocking": blocking(many // 2),
    }
    note(f"{time.monotonic() - began:.0f} s")
    if quick:
        print("\n\n".join(tables(found).values()))
        return
    draw(found, RESULTS / "exactness.png")
    save("exactness", found, tables(found))


if __name__ == "__main__":
    main()
