"""Large models: a sparse fit, D and MSD of 10⁵ different sites, propagation on up to 10⁷."""

from __future__ import annotations

from dataclasses import asdict

from measuring import HERE, PYTHON, Cost, measure, note, save, table

TASKS = {
    "fit": "fit with bootstrap errors",
    "supercell-small": "every site different",
    "supercell": "every site different",
    "bloch-6": "Bloch waves, periodic box",
    "bloch-7": "Bloch waves, periodic box",
    "sparse-6": "sparse products, reflecting walls",
}


def main() -> None:
    """Run every task in a process of its own, save."""
    costs: dict[str, Cost] = {}
    for task in TASKS:
        note(f"models: {task}")
        costs[task] = measure(
            [PYTHON, HERE / "ours" / "models.py", task], {"PYTHONPATH": str(HERE)}
        )
    save("models", {task: asdict(cost) for task, cost in costs.items()}, tables(costs))


def tables(costs: dict[str, Cost]) -> dict[str, str]:
    """Return the tables of the README."""
    fit = costs["fit"].said
    steps = [[name, f"{seconds:.2f}"] for name, seconds in fit["seconds"].items()]
    supercells = []
    for task in ("supercell-small", "supercell"):
        said = costs[task].said
        exact = "not computed" if said["exact"] is None else f"{said['exact']:.6g}"
        supercells.append(
            [
                str(said["states"]),
                *(f"{seconds:.2f}" for seconds in said["seconds"].values()),
                f"{costs[task].peak_mb:.0f}",
                f"{said['d_cm2_s']:.6g}",
                exact,
                f"{said['d_of_msd_slope']:.6g}",
                f"{said['ions_drift']:.0e}",
            ]
        )
    waves = [
        [
            TASKS[task],
            f"{costs[task].said['sites']:.3g}",
            f"{costs[task].said['steps']:.2g}",
            f"{next(iter(costs[task].said['seconds'].values())):.1f}",
            f"{costs[task].peak_mb:.0f}",
            f"{costs[task].said['ions_drift']:.0e}",
        ]
        for task in ("bloch-6", "bloch-7", "sparse-6")
    ]
    return {
        "fit": table([f"{fit['states']} states, {fit['transitions']} transitions", "CPU s"], steps)
        + f"\n\nD = {fit['d_cm2_s']:.4g} ± {fit['d_error']:.2g} cm²/s where {fit['d_true']:.4g} is "
        "exact.",
        "supercells": table(
            ["states", "D: CPU s", "MSD at 13 times: CPU s", "propagation to 11 times: CPU s",
             "peak MB", "D, cm²/s", "exact", "slope of the MSD", "ions lost or gained"],
            supercells,
        ),
        "propagation": table(
            ["", "sites", "steps of the chain", "11 times: CPU s", "peak MB",
             "ions lost or gained"],
            waves,
        ),
    }  # fmt: skip


if __name__ == "__main__":
    main()
