"""A finished CalcJob made of recorded files."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiida import orm
from aiida.common import LinkType
from aiida.plugins import CalculationFactory, ParserFactory

FIXTURES = Path(__file__).parent / "fixtures"
ENTRY_POINTS = {
    "md": "limsm.md",
    "train": "limsm.train",
    "evaluate": "limsm.evaluate",
    "neb": "limsm.neb",
    "analyse": "limsm.markov",
    "compare": "limsm.compare",
    "spread": "limsm.spread",
}
#: What goes to the repository; the rest is only there while the parser runs.
PERMANENT = {
    "results.json", "limsm.log", "stdout.txt", "stderr.txt", "mace_run_train.log", "parity.h5",
    "comparison.h5", "spread.h5",
}  # fmt: skip


@dataclass
class Parsed:
    """What a parser made of a case."""

    node: orm.CalcJobNode
    outputs: dict[str, Any]
    exit_status: int
    exit_message: str | None

    @property
    def logs(self) -> list[str]:
        """Messages that a user sees in ``verdi process report``."""
        return [log.message for log in orm.Log.collection.get_logs_for(self.node)]


@pytest.fixture
def parse(aiida_localhost: orm.Computer, tmp_path: Path) -> Callable[..., Parsed]:
    """Return a function that parses ``<job>/<case>``, optionally with some files lost."""

    def run(
        name: str,
        inputs: dict[str, orm.Data] | None = None,
        without: tuple[str, ...] = (),
        changed: dict[str, bytes] | None = None,
    ) -> Parsed:
        job = name.split("/")[0]
        entry_point = ENTRY_POINTS[job]
        process_class = CalculationFactory(entry_point)
        node = orm.CalcJobNode(
            computer=aiida_localhost, process_type=f"aiida.calculations:{entry_point}"
        )
        node.set_option("resources", {"num_machines": 1})
        for label, value in (inputs or {}).items():
            node.base.links.add_incoming(value.store(), LinkType.INPUT_CALC, label)
        if (FIXTURES / name / "input.json").exists():
            node.base.repository.put_object_from_file(
                str(FIXTURES / name / "input.json"), "input.json"
            )
        node.store()
        remote = orm.RemoteData(computer=aiida_localhost, remote_path="/scratch/job")
        remote.base.links.add_incoming(node, LinkType.CREATE, "remote_folder")
        remote.store()
        assert node.process_class is process_class

        folder = Path(tempfile.mkdtemp(dir=tmp_path))
        permanent, temporary = folder / "retrieved", folder / "temporary"
        permanent.mkdir()
        temporary.mkdir()
        for file in (FIXTURES / name).iterdir():
            if file.is_dir():
                shutil.copytree(file, temporary / file.name)
            elif file.name not in without and file.name != "input.json":
                target = permanent if file.name in PERMANENT else temporary
                shutil.copyfile(file, target / file.name)
        for file_name, content in (changed or {}).items():
            target = permanent if file_name in PERMANENT else temporary
            (target / file_name).write_bytes(content)
        retrieved = orm.FolderData(tree=str(permanent))
        retrieved.base.links.add_incoming(node, LinkType.CREATE, "retrieved")
        retrieved.store()
        outputs, finished = ParserFactory(entry_point).parse_from_node(
            node, store_provenance=False, retrieved_temporary_folder=str(temporary)
        )
        for value in outputs.values():
            for attached in value.values() if isinstance(value, dict) else [value]:
                attached.store()  # whatever a parser attaches must be fit to be stored
        return Parsed(node, outputs, finished.exit_status, finished.exit_message)

    return run
