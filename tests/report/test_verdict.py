"""A verdict as text."""

from __future__ import annotations

from aiida_limsm.report.verdict import Check, Verdict, verdict_text


def test_text() -> None:
    checks = (
        Check(
            name="force RMSE on 'test'", unit="meV/Å", value=120.04, threshold=100.0, passed=False,
            foundation=1234.4,
        ),
        Check(
            name="overlap of g(r), T500K, Li-Li", unit="", value=0.931, threshold=0.9, passed=True,
            least=True, foundation=0.7,
        ),
        Check(name="error of the barrier", unit="meV", value=None, threshold=50.0, passed=None),
    )  # fmt: skip
    rejected = Verdict(
        accepted=False, reasons=("too large",), not_checked=("no jump was given",), checks=checks
    )
    assert verdict_text(rejected).splitlines() == [
        "                               value  asked  foundation",
        "force RMSE on 'test' (meV/Å)     120  ≤ 100        1234  not good",
        "overlap of g(r), T500K, Li-Li   0.93  ≥ 0.9        0.70  good",
        "error of the barrier (meV)         –  ≤ 50            –  not checked",
        "",
        "rejected because:",
        "- too large",
        "not checked:",
        "- no jump was given",
    ]
    accepted = Verdict(accepted=True, reasons=(), not_checked=(), checks=checks[1:2])
    assert verdict_text(accepted).endswith("\n\naccepted")
