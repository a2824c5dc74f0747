from __future__ import annotations

from pathlib import Path

import pytest

from aiida_limsm.compute.base import JobError, Status, read_model, write_model
from aiida_limsm.compute.inputs import MdInput

INPUT = MdInput(temperature_k=700, steps=100)


def test_write_then_read(tmp_path: Path) -> None:
    path = tmp_path / "input.json"
    write_model(INPUT, path)
    assert read_model(MdInput, path) == INPUT
    assert [entry.name for entry in tmp_path.iterdir()] == ["input.json"]
    first = path.read_bytes()
    write_model(INPUT, path)
    assert path.read_bytes() == first


def test_write_is_all_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "input.json"
    write_model(INPUT, path)
    before = path.read_bytes()

    def full(self: Path, text: str, **_: object) -> int:
        with self.open("w") as handle:
            handle.write(text[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space left"):
        write_model(INPUT.model_copy(update={"steps": 200}), path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"", "input: Invalid JSON"),
        (b"\xff\xfe", "input: Invalid JSON"),
        (b"[1]", "input: Input should be an object"),
        (b'{"steps": 10}', "temperature_k: Field required"),
        (b'{"temperature_k": 700, "steps": 10, "step": 1}', "step: Extra inputs"),
    ],
)
def test_read_says_what_is_wrong(tmp_path: Path, content: bytes, line: str) -> None:
    path = tmp_path / "input.json"
    path.write_bytes(content)
    with pytest.raises(JobError) as caught:
        read_model(MdInput, path)
    assert caught.value.status is Status.INVALID_INPUT
    assert caught.value.message.startswith(f"{path}: {line}")
    assert "\n" not in caught.value.message


def test_read_of_nothing_and_of_a_folder(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"none\.json does not exist"):
        read_model(MdInput, tmp_path / "none.json")
    with pytest.raises(JobError, match="Is a directory"):
        read_model(MdInput, tmp_path)
