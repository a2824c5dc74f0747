"""Tables of the page as rows of text: every cell is what a reader sees."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from aiida_limsm.compute.results import DiffusionEstimate, ErrorSummary

from .judge import agreement_text, diffusion_text, is_resolved, value_text, verdict
from .study import Study, TemperatureResult
from .typeset import typeset
from .words import axis_text, bottleneck_text, deviation_text, haven_text, ratio_text

__all__ = [
    "Table", "aimd_table", "answer_table", "checks_table", "error_table", "jump_table",
    "site_table", "stage_table", "tensor_table", "trace_table", "transport_table",
]  # fmt: skip

TOP_JUMPS = 10
_PLACES = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))


@dataclass(frozen=True)
class Table:
    """Column heads and rows; ``text_columns`` are set flush left, all others are numbers."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    text_columns: frozenset[int] = frozenset({0})


def answer_table(study: Study) -> Table:
    """Return D(T) of both methods and what they are worth."""
    head = (
        "T (K)", "D, Markov state model (cm²/s)", "D, MSD slope (cm²/s)", "agreement",
        "independent jumps (all)", "verdict",
    )  # fmt: skip
    rows = [
        (
            f"{result.temperature_k:.0f}",
            _short(result.markov),
            _short(result.msd),
            agreement_text(result),
            f"{result.analysis.n_independent_jumps} ({result.analysis.n_jumps})",
            verdict(result),
        )
        for result in study.by_temperature
    ]
    return Table(head, tuple(rows), frozenset({0, 5}))


def _short(estimate: DiffusionEstimate | None) -> str:
    """Write D without its unit, which is in the column head; the verdict column says why not."""
    text = diffusion_text(estimate, unit="")
    return typeset("not resolved" if text.startswith("not resolved") else text)


def checks_table(study: Study) -> Table:
    """Return what was checked in each run: length, temperature, lag, framework, assignment."""
    head = (
        "T (K)", "MD (ps)", "T in MD: mean (fluctuation) (K)", "lag τ (ps)", "framework MSD (Å²)",
        "ion-frames off any site", "ion-frames sharing a site", "how the lag was chosen",
    )  # fmt: skip
    rows = []
    for result in study.by_temperature:
        found = result.analysis
        rows.append(
            (
                f"{result.temperature_k:.0f}",
                f"{found.duration_ps:.4g}",
                _measured_temperature(result),
                "–" if found.lag_time_ps is None else f"{found.lag_time_ps:.3g}",
                "–" if (msd := found.framework_msd_angstrom2) is None else f"{msd:.2f}",
                f"{found.unassigned_fraction:.1%}",
                f"{found.double_occupancy_fraction:.1%}",
                found.lag_reason or "–",
            )
        )
    return Table(head, tuple(rows), frozenset({0, 7}))


def _measured_temperature(result: TemperatureResult) -> str:
    md = result.md
    if md is not None and md.mean_temperature_k is not None and md.std_temperature_k is not None:
        return f"{md.mean_temperature_k:.0f} ({md.std_temperature_k:.0f})"
    mean = result.analysis.temperature_k
    return "–" if mean is None else f"{mean:.0f} (not recorded)"


def error_table(study: Study) -> Table | None:
    """Return errors on held-out frames before and after fine-tuning; None without any."""
    before, after = study.held_out_before, study.held_out_after
    known = after or before
    if known is None:
        return None
    quantities: list[tuple[str, Callable[[ErrorSummary], float | None]]] = [
        ("force RMSE (meV/Å)", lambda e: e.rmse_forces_mev_per_angstrom),
        ("force MAE (meV/Å)", lambda e: e.mae_forces_mev_per_angstrom),
    ]
    for element in known.rmse_forces_per_element_mev_per_angstrom:
        quantities.append((f"force RMSE on {element} (meV/Å)", _of_element(element)))
    quantities += [
        ("energy RMSE (meV/atom)", lambda e: e.rmse_energy_mev_per_atom),
        ("stress RMSE (meV/Å³)", lambda e: e.rmse_stress_mev_per_angstrom3),
    ]
    rows = []
    for name, read in quantities:
        values = [read(summary) if summary else None for summary in (before, after)]
        if any(value is not None for value in values):
            ratio = "–" if None in values or not values[1] else f"{_ratio(values):.1f} ×"
            rows.append((name, *("–" if v is None else f"{v:.3g}" for v in values), ratio))
    return Table(("on held-out frames", "before fine-tuning", "after", "smaller by"), tuple(rows))


def _of_element(element: str) -> Callable[[ErrorSummary], float | None]:
    return lambda summary: summary.rmse_forces_per_element_mev_per_angstrom.get(element)


def _ratio(values: Sequence[float | None]) -> float:
    before, after = values
    return float(before or 0.0) / float(after or 1.0)


def jump_table(result: TemperatureResult) -> Table:
    """Return the most frequent jumps."""
    orbit = {site.label: site.orbit for site in result.analysis.sites}
    rows = [
        (
            f"{row.from_site} → {row.to_site}",
            f"{orbit.get(row.from_site, '?')}\u00a0→\u00a0{orbit.get(row.to_site, '?')}",
            f"{row.distance_a:.2f}",
            _vector(row.vector_a, 2),
            str(row.count),
            typeset(value_text(row.rate_per_ps, row.rate_error)),
        )
        for row in sorted(result.analysis.jumps, key=lambda row: -row.count)[:TOP_JUMPS]
    ]
    head = ("jump", "orbits", "distance (Å)", "vector (Å)", "jumps seen", "rate (1/ps)")
    return Table(head, tuple(rows), frozenset({0, 1}))


def site_table(result: TemperatureResult) -> Table:
    """Return the sites: where they are, how full, how wide the ions vibrate."""
    rows = []
    for site in result.analysis.sites:
        amplitude = site.vibration_amplitude_a
        rows.append(
            (
                site.label,
                site.orbit,
                _vector(site.frac, 4),
                f"{site.occupancy:.3f}",
                f"{site.stationary_probability:.4f}",
                "–" if amplitude is None else f"{amplitude:.2f}",
            )
        )
    head = ("site", "orbit", "fractional position", "occupancy", "π", "vibration, rms (Å)")
    return Table(head, tuple(rows), frozenset({0, 1}))


def transport_table(result: TemperatureResult) -> Table | None:
    """Return what follows from the model beside D; None where nothing was computed."""
    found = result.analysis
    if found.diffusion is None:
        return None
    rows = [
        ("D, successive jumps taken as independent", diffusion_text(found.diffusion.uncorrelated)),
        ("correlation factor f", ratio_text(found.correlation_factor)),
        ("Haven ratio D*/D of charge", haven_text(found.haven_ratio)),
        ("Chapman-Kolmogorov test", deviation_text(found)),
    ]
    if is_resolved(result.markov):
        names = ("largest", "middle", "smallest")
        rows += [
            (f"principal value of D, {name}", axis_text(axis))
            for name, axis in zip(names, found.principal_axes, strict=False)
        ]
        rows.append(("dimensions with diffusion", f"{found.dimensionality or 0} of 3"))
    rows += [
        (f"bottleneck along {one.direction}", bottleneck_text(one, found))
        for one in found.bottlenecks
    ]
    rows = [(name, typeset(text)) for name, text in rows]
    return Table(("from the jumps", "value"), tuple(rows), frozenset({0, 1}))


def tensor_table(result: TemperatureResult) -> Table | None:
    """Return the components of both tensors with errors; None where neither is resolved."""
    named = (("Markov", result.markov), ("MSD", result.msd))
    rows = []
    for name, estimate in named:
        if estimate is not None and is_resolved(estimate):
            tensor, error = estimate.tensor_cm2_s, estimate.error_cm2_s
            cells = (typeset(value_text(tensor[a][b], error[a][b])) for a, b in _PLACES)
            rows.append((name, *cells))
    head = ("D (cm²/s)", "xx", "yy", "zz", "yz", "xz", "xy")
    return Table(head, tuple(rows)) if rows else None


def aimd_table(study: Study) -> Table:
    """Return the ab initio MD runs."""
    rows = tuple(
        (f"{run.temperature_k:.0f}", str(run.frames), f"{run.duration_ps:.4g}", _pk(run.pk))
        for run in study.aimd
    )
    return Table(("AIMD at T (K)", "frames", "length (ps)", "PK"), rows)


def stage_table(study: Study) -> Table:
    """Return wall times, with their sum."""
    rows = [(stage.name, _duration(stage.seconds), _pk(stage.pk)) for stage in study.stages]
    if len(rows) > 1:
        rows.append(("sum", _duration(sum(stage.seconds for stage in study.stages)), ""))
    return Table(("stage", "wall time (h:min:s)", "PK"), tuple(rows))


def trace_table(study: Study) -> Table:
    """Return the DFT calculations behind the numbers; columns in the order they first appear."""
    head = tuple(dict.fromkeys(name for row in study.trace_rows for name in row))
    rows = tuple(tuple(row.get(name, "–") for name in head) for row in study.trace_rows)
    return Table(head, rows, frozenset(range(len(head))))


def _vector(values: Sequence[float], decimals: int) -> str:
    # + 0.0 turns a rounded −0.0 into 0.0
    written = (f"{round(x, decimals) + 0.0:.{decimals}f}" for x in values)
    return f"({', '.join(written)})".replace("-", "−")


def _pk(pk: int | None) -> str:
    return "–" if pk is None else str(pk)


def _duration(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
