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
group, names, heavy = (text.split(",") for text in sys.argv[1:])
for name in names:
    (point,) = entry_points(group=group[0], name=name)
    try:
        point.load()
    except Exception as error:
        print(f"{name}: {type(error).__name__}: {error}")
    if imported := [module for module in heavy if module in sys.modules]:
        print(f"{name} or one before it imports {', '.join(imported)}")
        break
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


@pytest.mark.parametrize("group", sorted({group for group, _ in ENTRY_POINTS}))
def test_entry_points_load_without_torch(group: str) -> None:
    names = ",".join(name for each, name in ENTRY_POINTS if each == group)
    result = subprocess.run(
        [sys.executable, "-c", CODE, group, names, ",".join(HEAVY)], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr[-2000:]
    assert result.stdout == ""
