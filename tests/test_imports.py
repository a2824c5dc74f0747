"""Loading an entry point must stay cheap: a daemon worker and ``verdi`` load them all."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import distribution

import pytest

ENTRY_POINTS = sorted(
    (point.group, point.name)
    for point in distribution("aiida-limsm").entry_points
    if point.group.startswith("aiida.") and point.name.split(".")[0] == "limsm"
)
HEAVY = ("torch", "mace", "e3nn")
CODE = """
import sys
from importlib.metadata import entry_points
(point,) = entry_points(group=sys.argv[1], name=sys.argv[2])
point.load()
print(",".join(name for name in sys.argv[3:] if name in sys.modules))
"""


def test_there_are_entry_points() -> None:
    groups = {group for group, _ in ENTRY_POINTS}
    assert groups >= {
        "aiida.data",
        "aiida.calculations",
        "aiida.parsers",
        "aiida.workflows",
        "aiida.cmdline.data",
    }


@pytest.mark.parametrize(("group", "name"), ENTRY_POINTS)
def test_entry_point_loads_without_torch(group: str, name: str) -> None:
    result = subprocess.run(
        [sys.executable, "-c", CODE, group, name, *HEAVY], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr[-2000:]
    loaded = result.stdout.strip()
    assert not loaded, f"loading {group}:{name} imports {loaded}"
