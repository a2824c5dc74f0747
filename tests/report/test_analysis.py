"""The summary of one analysis: complete, honest about what is not resolved, and short."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiida_limsm.compute.base import Status
from aiida_limsm.compute.results import (
    AnalyseResults,
    Bottleneck,
    DiffusionEstimate,
    DiffusionEstimates,
    HavenRatio,
    JumpSummary,
    PrincipalAxis,
    Ratio,
    SiteSummary,
)
from aiida_limsm.report.analysis import MOST_LINES, WIDTH, analysis_text
from aiida_limsm.report.format import format_with_error

ZERO = ((0.0,) * 3,) * 3


def estimate(value, error, reason="", bound=None):
    return DiffusionEstimate(
        method="made up", tensor_cm2_s=ZERO, error_cm2_s=ZERO,
        covariance_cm4_s2=((0.0,) * 6,) * 6, isotropic_cm2_s=value, isotropic_error_cm2_s=error,
        resolved=not reason, upper_bound_cm2_s=bound, reason=reason,
    )  # fmt: skip


def jump(start, end, count, rate=0.1):
    return JumpSummary(
        from_site=start, to_site=end, image=(0, -1, 0), distance_a=2.65, vector_a=(1.53,) * 3,
        count=count, rate_per_ps=rate, rate_error=rate / max(count, 1) ** 0.5,
    )  # fmt: skip


def made(**changes):
    sites = tuple(
        SiteSummary(
            label=f"Li{k}", orbit="8c", multiplicity=8, frac=(0.1 * k, 0.0, 0.0), occupancy=0.9,
            vibration_amplitude_a=0.4, stationary_probability=1 / 3,
        )
        for k in (1, 2, 3)
    )  # fmt: skip
    values = {
        "status": Status.FINISHED, "species": "Li", "temperature_k": 700.0, "n_ions": 44,
        "n_frames": 2001, "frame_interval_fs": 20.0, "duration_ps": 40.0,
        "site_source": "structure", "pool": "translations", "n_jumps": 170,
        "n_independent_jumps": 120, "sites": sites,
        "jumps": tuple(jump("Li1", "Li2", 90 - 10 * k) for k in range(8)),
        "lag_time_ps": 0.32, "lag_reason": "shortest lag whose D agrees with all longer ones",
        "implied_timescales_ps": (41.0, 10.5), "implied_timescales_error_ps": (6.0, 1.2),
        "ck_max_deviation": 0.0123, "ck_max_deviation_sigma": 1.4, "agreement_sigma": 0.7,
        "diffusion": DiffusionEstimates(
            markov=estimate(3.97e-6, 3.1e-7), msd=estimate(3.6e-6, 4.2e-7),
            uncorrelated=estimate(4.34e-6, 2.6e-7),
        ),
        "correlation_factor": Ratio(value=0.915, error=0.02, resolved=True),
        "haven_ratio": HavenRatio(
            value=0.77, error=0.41, resolved=False, reason="the error is 53% of the value",
            charge_cm2_s=5.2e-6, charge_error_cm2_s=2e-6, charge_tensor_cm2_s=ZERO,
            charge_tensor_error_cm2_s=ZERO, window_ps=1.0, independent_windows=40,
        ),
        "principal_axes": tuple(
            PrincipalAxis(d_cm2_s=d, error_cm2_s=4e-7, axis=(1.0, 0.0, 0.0), direction=where)
            for d, where in ((6e-6, "[1 0 0]"), (4e-6, "[0 1 0]"), (1.9e-6, "[0 0 1]"))
        ),
        "dimensionality": 3, "metastable_sets": 2,
        "bottlenecks": (
            Bottleneck(direction="x", percolates=True, rate_per_ps=0.1, from_site="Li1",
                       to_site="Li2", distance_a=2.65),
            Bottleneck(direction="y", percolates=True, rate_per_ps=0.1, from_site="Li1",
                       to_site="Li2", distance_a=2.65),
            Bottleneck(direction="z", percolates=False),
        ),
    }  # fmt: skip
    return AnalyseResults(**(values | changes))


def unresolved(**changes):
    few = {"reason": "3 independent jumps seen, 10 asked", "bound": 1.01e-6}
    return made(
        n_independent_jumps=3,
        diffusion=DiffusionEstimates(
            markov=estimate(7.77e-7, 6e-7, **few),
            msd=estimate(8.88e-7, 6e-7, **few),
            uncorrelated=estimate(9.99e-7, 6e-7, **few),
        ),
        correlation_factor=Ratio(value=0.444, error=0.3, resolved=False, reason=few["reason"]),
        **changes,
    )


def rows(text):
    """Table of a summary: name → value, continued lines joined."""
    table, name = {}, ""
    for line in text.split("\n"):
        if line.startswith("  ") and not line.startswith("    ") and len(line) > 24:
            name = line[2:22].strip()
            table[name] = line[22:].strip()
        elif line.startswith(" " * 24):
            table[name] += " " + line.strip()
    return table


def test_values_stand_with_their_errors():
    table = rows(analysis_text(made()))
    assert table["D, Markov model"] == format_with_error(3.97e-6, 3.1e-7, "cm²/s")
    assert table["D, MSD"].startswith(format_with_error(3.6e-6, 4.2e-7, "cm²/s"))
    assert "0.7 σ" in table["D, MSD"]
    assert table["D, jumps independent"] == format_with_error(4.34e-6, 2.6e-7, "cm²/s")
    assert table["correlation factor"] == format_with_error(0.915, 0.02)
    assert table["slowest relaxation"].startswith(format_with_error(41.0, 6.0, "ps"))
    assert "[1 0 0]; [0 1 0]; [0 0 1]" in table["axes"]
    assert "0.012" in table["Chapman-Kolmogorov"]
    assert "1.4 σ" in table["Chapman-Kolmogorov"]
    assert table["lag"] == "0.32 ps: shortest lag whose D agrees with all longer ones"
    assert table["bottlenecks"] == "x, y: Li1 → Li2, 2.65 Å; z: no way through seen"


def test_unresolved_values_are_not_quoted():
    text = analysis_text(unresolved())
    table = rows(text)
    for name in ("D, Markov model", "D, MSD", "D, jumps independent"):
        assert table[name] == "not resolved, < 1.1e-06 cm²/s (95 %)"  # bounds are rounded up
    assert table["why not resolved"] == "3 independent jumps seen, 10 asked"
    for value in ("7.8", "8.9", "10.0e", "0.44", "41", "0.77", "6e-06", "σ from the model"):
        assert value not in text
    assert "principal values" not in table
    assert table["slowest relaxation"] == "not resolved"


def test_reason_of_the_haven_ratio_is_told():
    assert rows(analysis_text(made()))["Haven ratio"] == (
        "not resolved: the error is 53% of the value"
    )


def test_value_fixed_by_symmetry_has_no_error_of_zero():
    text = analysis_text(made(correlation_factor=Ratio(value=1.0, error=1e-17, resolved=True)))
    assert rows(text)["correlation factor"] == "1 exactly, by symmetry"


def test_jumps_are_the_most_frequent():
    jumps = tuple(jump("Li1", "Li2", count) for count in (3, 50, 7, 40, 1, 30, 20))
    lines = analysis_text(made(jumps=jumps)).split("\n")
    counts = [int(line.split(" seen")[0].split()[-1]) for line in lines if " seen  " in line]
    assert counts == [50, 40, 30, 20, 7]


def test_motion_of_the_framework_is_told():
    moved = made(framework_drift_a=1.234, framework_msd_angstrom2=0.25)
    assert rows(analysis_text(moved))["framework"] == (
        "drifts by 1.23 Å, taken off; its atoms end 0.50 Å (rms) from where they began"
    )
    free = rows(analysis_text(made(framework_drift_a=0.5)))["framework"]
    assert free == "none; centre of mass of all atoms: drifts by 0.50 Å, taken off"
    fixed = made(framework_drift_a=0.001, framework_msd_angstrom2=0.25)
    assert rows(analysis_text(fixed))["framework"].startswith("no drift; its atoms end")
    assert "framework" not in rows(analysis_text(made()))


def test_no_jump_and_nothing_known():
    bound = {"reason": "0 independent jumps seen, 10 asked", "bound": 8e-7}
    still = estimate(0.0, 5e-7, **bound)
    text = analysis_text(
        made(
            n_jumps=0, n_independent_jumps=0, jumps=(), temperature_k=None, haven_ratio=None,
            correlation_factor=None, implied_timescales_ps=(), implied_timescales_error_ps=(),
            diffusion=DiffusionEstimates(markov=still, msd=still, uncorrelated=still),
        )
    )  # fmt: skip
    assert "0 jumps" in text
    assert " K" not in text.split("\n")[0]
    assert text.count("< 8.0e-07") == 3
    assert "nothing to test" in text
    assert analysis_text(AnalyseResults(status=Status.FINISHED))


def test_warnings_come_last_and_are_whole():
    warnings = ("first of all " + 20 * "words " + "end1", "second end2")
    lines = analysis_text(made(warnings=warnings)).split("\n")
    first = next(k for k, line in enumerate(lines) if line.startswith("warning: "))
    rest = " ".join(line.strip() for line in lines[first:])
    assert rest == f"warning: {warnings[0]} warning: {warnings[1]}"


@given(
    warnings=st.lists(
        st.text(st.characters(codec="ascii", min_codepoint=32), max_size=400), max_size=8
    ),
    reason=st.sampled_from(["", "short", 30 * "long reason "]),
    jumps=st.integers(0, 9),
    d=st.floats(1e-12, 1e-2),
    relative=st.floats(0.001, 2.0),
)
@settings(max_examples=60, deadline=None)
def test_never_longer_than_a_screen(warnings, reason, jumps, d, relative):
    one = estimate(d, d * relative, reason, bound=3 * d if reason else None)
    text = analysis_text(
        made(
            warnings=tuple(warnings), lag_reason=20 * "because ",
            jumps=tuple(jump("Li10", "Li200", k) for k in range(jumps)),
            framework_drift_a=12.3, framework_msd_angstrom2=123.4,
            diffusion=DiffusionEstimates(markov=one, msd=one, uncorrelated=one),
        )
    )  # fmt: skip
    lines = text.split("\n")
    assert len(lines) <= MOST_LINES
    assert max(map(len, lines)) <= WIDTH
    assert ("not resolved, <" in text) == bool(reason)


def test_summary_needs_no_matplotlib():
    code = (
        "import sys, aiida_limsm.report.analysis as a; "
        "sys.exit('matplotlib' in sys.modules or 'scipy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("number", [1, 2])
def test_nouns_agree_with_their_number(number):
    text = analysis_text(made(n_jumps=number, n_independent_jumps=1))
    assert ("1 jump," in text) == (number == 1)
