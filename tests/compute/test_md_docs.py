"""The example of docs/md.md runs and leaves what the page says."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from aiida_limsm.compute.base import Status
from aiida_limsm.compute.inputs import MdInput
from aiida_limsm.compute.md import run_md

PAGE = (Path(__file__).parents[2] / "docs" / "md.md").read_text()


def example() -> MdInput:
    block = re.search(r"```json\n(.*?)```", PAGE, re.DOTALL)
    assert block is not None
    return MdInput.model_validate(json.loads(block.group(1)))


def test_every_field_and_status_of_the_page_exists() -> None:
    words = set(re.findall(r"`([a-z]+_[a-z_0-9]+)`", PAGE))
    known = set(MdInput.model_fields) | {status.value for status in Status}
    other = {"conserved_drift_ev_per_atom_ns", "nose_hoover_chain"}
    assert words - known == other & words
    assert {"thermostat_time_fs", "committee_disagrees"} < words


@pytest.mark.slow
def test_the_example(make_md_folder: Callable[..., Path]) -> None:
    folder = make_md_folder()
    results = run_md(example(), folder, lambda line: None)
    assert results.status is Status.FINISHED
    assert len(results.runs) == 4
    assert (folder / "runs/500K-0/trajectory.h5").is_file()
    assert (folder / "runs/500K-1/mobile.h5").is_file()
    assert (folder / "runs/700K-1/thermo.csv").is_file()
    assert (folder / "runs/checkpoint-1.npz").is_file()
