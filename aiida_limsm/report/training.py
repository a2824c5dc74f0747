"""One training: its figure, and its summary for the terminal."""

from __future__ import annotations

from pathlib import Path

from aiida_limsm.compute.train_results import TrainResults

__all__ = ["FIGURE", "draw_history", "training_text"]

FIGURE = "training.png"


def draw_history(results: TrainResults, folder: Path) -> tuple[str, ...]:
    """Draw loss and errors over the epochs into ``folder``; return the name, nothing if none."""
    from .figures.style import png_bytes
    from .figures.training import history_figure

    if not results.history:
        return ()
    (folder / FIGURE).write_bytes(png_bytes(history_figure(results)))
    return (FIGURE,)


def training_text(results: TrainResults) -> str:
    """Write the errors of a finished training as a table for the terminal."""
    if not results.errors:
        return ""
    lines = ["head        split    frames   force RMSE (meV/Å)   energy RMSE (meV/atom)"]
    for head, splits in results.errors.items():
        for split, errors in splits.items():
            lines.append(
                f"{head:<11} {split:<8} {errors.frames:>6} "
                f"{errors.rmse_forces_mev_per_angstrom:>20.1f} "
                f"{errors.rmse_energy_mev_per_atom:>24.2f}"
            )
    if (before := results.initial) is not None and results.foundation_e0s_ev is not None:
        line = f"the foundation on valid: {before.rmse_forces_mev_per_angstrom:.1f} meV/Å"
        if (replay := before.replay_rmse_forces_mev_per_angstrom) is not None:
            line += f", on the replay frames {replay:.1f} meV/Å"
        lines.append(line)
    return "\n".join(lines)
