"""A dataset's attributes and statistics as lines for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .dataset_statistics import SplitStatistics

_E0S = {"isolated": "isolated atoms", "fitted": "fitted to the training frames", "given": "given"}
#: More outliers than these are counted only; the attribute holds all.
_MOST_OUTLIERS = 10


def summary_lines(attributes: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return name and value of what the attributes of a dataset say.

    Parameters
    ----------
    attributes
        Of a ReferenceDatasetData.
    """
    counts, formulas = attributes["counts"], attributes["formulas"]
    e0s = ", ".join(f"{name} {energy:.4f} eV" for name, energy in attributes["e0s_ev"].items())
    lines = [
        ("frames", ", ".join(f"{split} {count}" for split, count in counts.items())),
        ("formulas", ", ".join(f"{name} ({count})" for name, count in formulas.items())),
        ("labels", "energy, forces" + (", stress" if attributes["has_stress"] else "")),
        ("E0s", f"{e0s} ({_E0S[attributes.get('e0s_are', 'given')]})"),
    ]
    lines += _settings_lines(attributes["dft_settings"])
    selection = attributes.get("selection") or {}
    for name, source in selection.get("sources", {}).items():
        lines.append((f"source {name}", _source_text(source)))
    if selection:
        removed = {name: count for name, count in selection["removed"].items() if count}
        texts = [f"{count} {name.replace('_', ' ')}" for name, count in removed.items()]
        lines.append(("removed", ", ".join(texts) or "none"))
        lines += _outlier_lines(
            attributes.get("outliers", []), selection["outlier_threshold_ev_per_angstrom"]
        )
    return lines


def _settings_lines(settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    lines = []
    for name, value in sorted(settings.items()):
        if name == "pseudopotentials" and isinstance(value, Mapping):
            for element, pseudo in value.items():
                lines.append((f"pseudopotential {element}", f"{pseudo['file']} ({pseudo['md5']})"))
        elif isinstance(value, Mapping):
            lines.append((name, ", ".join(f"{key} {_plain(item)}" for key, item in value.items())))
        else:
            lines.append((name, _plain(value)))
    return lines


def _plain(value: Any) -> str:
    if value is None:
        return "–"
    return " ".join(map(_plain, value)) if isinstance(value, (list, tuple)) else str(value)


def _source_text(source: Mapping[str, Any]) -> str:
    if source["kind"] != "trajectory":
        return f"{source['frames']} {source['kind']}"
    text = (
        f"{source['frames']} frames, first {source['skip_frames']} skipped, every "
        f"{source['stride']} kept, "
    )
    if "training_only" in source:
        text += "too short to split: all for the training"
    else:
        text += f"{source['gap_frames']} between blocks"
    times = [
        f"{label} {source[key]:.3g} fs"
        for label in ("force", "energy")
        if (key := f"{label}_autocorrelation_time_fs") in source
    ]
    return text + (f"; autocorrelation times: {', '.join(times)}" if times else "")


def _outlier_lines(
    outliers: Sequence[Mapping[str, Any]], threshold: float | None
) -> list[tuple[str, str]]:
    if threshold is None:
        return []
    lines = [("outliers", f"{len(outliers) or 'none'} above {threshold:.3g} eV/Å")]
    for each in outliers[:_MOST_OUTLIERS]:
        lines.append(
            (
                "",
                f"{each['source']}, frame {each['frame']}: "
                f"{each['max_force_ev_per_angstrom']:.3g} eV/Å, "
                + (f"in {each['split']}" if each["kept"] else "removed"),
            )
        )
    if len(outliers) > _MOST_OUTLIERS:
        lines.append(("", "…"))
    return lines


def statistics_text(statistics: Mapping[str, SplitStatistics]) -> str:
    """Return the statistics as a table, one column per split."""
    splits = [name for name, found in statistics.items() if found.frames]
    columns = [statistics[name] for name in splits]
    rows = [["", *splits], ["frames", *(str(found.frames) for found in columns)]]
    rows += [
        [name, *(_number(getattr(found, key), digits) for found in columns)]
        for name, key, digits in (
            ("energy over E0s, mean (eV/atom)", "mean_energy_ev_per_atom", 4),
            ("energy over E0s, std (meV/atom)", "std_energy_ev_per_atom", -1),
            ("force, rms (eV/Å)", "rms_force_ev_per_angstrom", 3),
            ("force, max (eV/Å)", "max_force_ev_per_angstrom", 3),
            ("pressure, min (GPa)", "min_pressure_gpa", 2),
            ("pressure, max (GPa)", "max_pressure_gpa", 2),
        )
    ]
    for element in sorted({name for found in columns for name in found.elements}):
        for word, key in (("rms", "rms_ev_per_angstrom"), ("max", "max_ev_per_angstrom")):
            values = (getattr(found.elements.get(element), key, None) for found in columns)
            row = [f"force on {element}, {word} (eV/Å)", *(_number(value, 3) for value in values)]
            rows.append(row)
    formulas = sorted({name for found in columns for name in found.compositions})
    for formula in formulas if len(formulas) > 1 else []:
        found_here = [found.compositions.get(formula) for found in columns]
        for word, key, digits in (
            ("frames", "frames", 0),
            ("mean (eV/atom)", "mean_ev_per_atom", 4),
            ("std (meV/atom)", "std_ev_per_atom", -1),
        ):
            values = (getattr(found, key, None) for found in found_here)
            rows.append([f"{formula}, {word}", *(_number(value, digits) for value in values)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def _number(value: float | None, digits: int) -> str:
    """Write a number with so many decimals; -1 means in thousandths, with one."""
    if value is None:
        return "–"
    return f"{1000 * value:.1f}" if digits < 0 else f"{value:.{digits}f}"
