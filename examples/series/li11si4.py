"""D of Li in Li11Si4 over temperature and over the length of the cell, with the demo potential.

In a profile of `aiida-limsm setup`::

    verdi run examples/series/li11si4.py

Twenty minutes on a busy two-core machine; ``--length-ps 1`` shows that it runs. Toy physics, see
README.md.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from aiida.engine import run_get_node

from aiida_limsm.cli._demo_inputs import demo_foundation, demo_structures
from aiida_limsm.report.figures.series import series_figure
from aiida_limsm.report.series import series_text
from aiida_limsm.workchains.series import DiffusionSeriesWorkChain

MD = {"equilibration_steps": 1000, "frame_interval_steps": 10}


def series(code: Any, length_ps: float, replicas: int) -> Any:
    """Return the builder of the series."""
    structure, sites = demo_structures()
    return DiffusionSeriesWorkChain.get_builder_from_protocol(
        code,
        structure,
        demo_foundation(),
        sites=sites,
        supercells=[[1, 1, 1], [2, 1, 1], [3, 1, 1], [4, 1, 1]],
        temperatures_k=[600.0, 700.0, 850.0, 1000.0],
        size_temperatures_k=[600.0],
        replicas=replicas,
        length_ns=length_ps / 1000.0,
        overrides={"md": {"md": MD}, "max_concurrent": 1},
    )


def main(folder: Path, length_ps: float, replicas: int) -> None:
    """Run the series; write table, summary and figure into ``folder``."""
    outputs, node = run_get_node(series("limsm@localhost", length_ps, replicas))
    if "summary" not in outputs:
        raise SystemExit(f"{node.process_label}<{node.pk}>: {node.exit_message}")
    summary = outputs["summary"].get_dict()
    text = f"{node.process_label} PK {node.pk}\n{series_text(summary)}\n"
    print(text, end="")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "series.txt").write_text(text, encoding="utf-8")
    (folder / "summary.json").write_text(json.dumps(summary, indent=1, sort_keys=True) + "\n")
    series_figure(summary, node.inputs.structure.get_formula()).savefig(folder / "series.png")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=Path())
    parser.add_argument("--length-ps", type=float, default=25.0)
    parser.add_argument("--replicas", type=int, default=2)
    chosen = parser.parse_args()
    main(chosen.folder, chosen.length_ps, chosen.replicas)
