"""The tables of the exactness benchmark for the README."""

from __future__ import annotations

from typing import Any

import numpy as np
from measuring import table


def tables(found: dict[str, Any]) -> dict[str, str]:
    """Return the tables for the README."""

    def share(value: float | None) -> str:
        return "–" if value is None or np.isnan(value) else f"{value:.0%}"

    return {
        "long": table(
            ["crystal", "D / exact (Markov), each seed", "largest element, σ", "D / exact (MSD)"],
            [
                [
                    name,
                    ", ".join(f"{r['ratio']:.4f} ± {r['ratio_error']:.4f}" for r in rows),
                    ", ".join(f"{r['largest_element_sigma']:.1f}" for r in rows),
                    ", ".join(f"{r['msd_ratio']:.2f} ± {r['msd_ratio_error']:.2f}" for r in rows),
                ]
                for name in dict.fromkeys(r["network"] for r in found["long"])
                for rows in [[r for r in found["long"] if r["network"] == name]]
            ],
        ),
        "short": table(
            ["crystal", "mean D / exact", "scatter", "claimed", "D within 2σ",
             "tensor elements", "MSD", "Haven ratio"],
            [
                [r["network"], f"{r['mean_ratio']:.3f}", f"{r['scatter']:.3f}",
                 f"{r['claimed']:.3f}", share(r["markov_2sigma"]), share(r["elements_2sigma"]),
                 share(r["msd_2sigma"]), share(r["haven_2sigma"])]
                for r in found["short"]
            ],
        ),
        "recrossing": table(
            ["crystal", "vibration, Å", "default", "nearest site, lag chosen",
             "nearest site, lag of one frame"],
            [
                [r["network"], f"{r['vibration_angstrom']:.2f}",
                 f"{r['default']:.3f} ± {r['default_error']:.3f} ({r['default_lag_ps']:.3g} ps)",
                 f"{r['nearest']:.3f} ± {r['nearest_error']:.3f} ({r['nearest_lag_ps']:.3g} ps)",
                 f"{r['nearest_at_lag_1']:.2f}"]
                for r in found["recrossing"]
            ],
        ),
        "same": table(
            ["the same data", "jumps", "largest difference in the tensor, of tr D / 3"],
            [
                [r["case"], f"{r['jumps']} ({r['jumps_reference']})",
                 f"{r['largest_difference']:.0e}"]
                for r in found["same"]
            ],
        ),
        "few": table(
            ["jumps expected", "resolved", "bound below the truth", "value off by more than 2σ"],
            [
                [str(r["jumps_expected"]), share(r["resolved"]), share(r["bound_fails"]),
                 share(r["value_fails"])]
                for r in found["few"]
            ],
        ),
        "blocking": table(
            ["crystal, ions", "frames", "mean D / exact", "scatter", "claimed", "median lag, ps",
             "D within 2σ", "MSD"],
            [
                [f"{r['network']}, {r['ions']}", str(r["frames"]), f"{r['mean_ratio']:.3f}",
                 f"{r['scatter']:.3f}", f"{r['claimed']:.3f}", f"{r['median_lag_ps']:.3g}",
                 share(r["markov_2sigma"]), share(r["msd_2sigma"])]
                for r in found["blocking"]
            ],
        ),
    }  # fmt: skip
