"""Model files are described without running anything in them."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aiida_limsm import resources
from aiida_limsm.atomistic.model_file import read_model_file
from aiida_limsm.atomistic.potential import load_model
from aiida_limsm.files import sha256_of

MODEL = Path(resources.__file__).parent / "demo_foundation" / "demo_foundation.model"


def test_description() -> None:
    found = read_model_file(MODEL)
    assert found.foreign == ()
    description = found.description
    assert description.architecture == "ScaleShiftMACE"
    assert (description.elements, description.heads) == (("Li", "Si"), ("Default",))
    assert (description.r_max_angstrom, description.dtype) == (4.5, "float32")
    assert description.sha256 == sha256_of(MODEL)
    # what torch finds in the same file
    model: Any = load_model(MODEL)
    assert description.num_params == sum(p.numel() for p in model.parameters())
    energies = model.atomic_energies_fn.atomic_energies.reshape(-1).tolist()
    assert list(description.e0s_ev.values()) == energies


def test_neither_torch_nor_mace_is_imported() -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from aiida_limsm.atomistic.model_file import read_model_file\n"
        "read_model_file(Path(sys.argv[1]))\n"
        "print([name for name in ('torch', 'mace', 'e3nn', 'aiida') if name in sys.modules])"
    )
    command = [sys.executable, "-c", code, str(MODEL)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


class Call:
    """Pickles as a call of a function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def with_pickle(path: Path, change: Callable[[bytes], bytes]) -> Path:
    """Write a copy of the model whose pickle is changed."""
    with zipfile.ZipFile(MODEL) as source, zipfile.ZipFile(path, "w") as target:
        for item in source.infolist():
            data = source.read(item)
            target.writestr(item, change(data) if item.filename.endswith("data.pkl") else data)
    return path


def test_a_call_in_the_file_is_named_and_not_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = tmp_path / "it ran"
    call = pickle.dumps(Call(os.mkdir, str(marker)), protocol=2)
    # the call first, its result thrown away, then the model as it was
    path = with_pickle(
        tmp_path / "crafted.model", lambda data: data[:2] + call[2:-1] + b"0" + data[2:]
    )
    found = read_model_file(path)
    assert found.foreign == ("posix.mkdir",)
    assert found.description.elements == ("Li", "Si")
    with pytest.raises(ValueError, match=r"names posix\.mkdir, which no MACE model needs") as error:
        load_model(path)
    assert "\n" not in str(error.value)
    assert not marker.exists()
    # the file does what it says it does where the user wants it
    monkeypatch.setenv("LIMSM_TRUST_MODELS", "1")
    load_model(path)
    assert marker.exists()


@pytest.mark.parametrize(
    "name", ["torch.hub.load", "torch.load", "torch.storage._load_from_bytes", "builtins.eval",
             "builtins.getattr", "mace.modules.models.torch", "e3nn.o3._linear.compile",
             "mace.tools.utils.MetricsLogger",
             "mace.modules.models.sys.exit"],
)  # fmt: skip
def test_names_that_are_foreign(tmp_path: Path, name: str) -> None:
    module, _, attribute = name.rpartition(".")
    line = f"c{module}\n{attribute}\n0".encode()
    path = with_pickle(tmp_path / "crafted.model", lambda data: data[:2] + line + data[2:])
    assert read_model_file(path).foreign == (name,)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"torch.functional.tensordot(", b"torch.utils.cpp_extension_("),
        (b"import torch\n", b"import posix\n"),
        (b"from math import inf", b"from nt_ import open"),
    ],
)
def test_source_code_that_is_no_contraction(tmp_path: Path, old: bytes, new: bytes) -> None:
    assert len(old) >= len(new)
    path = with_pickle(tmp_path / "c.model", lambda data: data.replace(old, new.ljust(len(old))))
    assert read_model_file(path).foreign == ("source code (torch.fx.graph_module)",)


def refused(path: Path) -> str:
    with pytest.raises(ValueError, match=r"MACE") as caught:
        read_model_file(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_files_that_are_no_models(tmp_path: Path) -> None:
    import torch

    path = tmp_path / "some.model"
    for content in (b"", b"text", pickle.dumps({"a": 1}), MODEL.read_bytes()[:80_000]):
        path.write_bytes(content)
        assert "cannot be loaded as a MACE model" in refused(path)
        assert "give a file written by mace_run_train" in refused(path)
    torch.save({"weights": torch.zeros(2)}, path)
    assert refused(path).endswith("holds a dict, not a MACE energy model")
    torch.save(torch.nn.Linear(2, 2), path)
    assert refused(path).endswith("holds a Linear, not a MACE energy model")
    scripted = io.BytesIO()
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), scripted)
    path.write_bytes(scripted.getvalue())
    assert "not one pickled module" in refused(path)


def test_a_flipped_bit_is_noticed(tmp_path: Path) -> None:
    content = bytearray(MODEL.read_bytes())
    with zipfile.ZipFile(MODEL) as archive:
        largest = max(archive.infolist(), key=lambda item: item.file_size)
    content[largest.header_offset + largest.file_size // 2] ^= 1
    path = tmp_path / "damaged.model"
    path.write_bytes(bytes(content))
    with pytest.raises(ValueError, match=r"is damaged \(.*\): fetch it again"):
        read_model_file(path)


@pytest.mark.parametrize(
    ("interaction", "heads", "more"),
    [
        (
            "RealAgnosticDensityResidualInteractionBlock",
            ("Default",),
            {"pair_repulsion": True, "distance_transform": "Agnesi"},
        ),
        ("RealAgnosticResidualNonLinearInteractionBlock", ("pt_head", "dft"), {}),
    ],
)
def test_other_architectures(
    tmp_path: Path, interaction: str, heads: tuple[str, ...], more: dict[str, Any]
) -> None:
    """As of the published foundation models, in double precision and with numpy's numbers."""
    import numpy as np
    import torch

    from aiida_limsm.atomistic.potential import import_mace

    import_mace()
    from e3nn import o3
    from mace import modules

    block = modules.interaction_classes[interaction]
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        model = modules.ScaleShiftMACE(
            r_max=6.0, num_bessel=8, num_polynomial_cutoff=5, max_ell=2, interaction_cls=block,
            interaction_cls_first=block, num_interactions=2, num_elements=3,
            hidden_irreps=o3.Irreps("4x0e + 4x1o"), MLP_irreps=o3.Irreps("8x0e"),
            atomic_energies=np.arange(3.0 * len(heads)).reshape(len(heads), 3),
            avg_num_neighbors=np.float64(20.0), atomic_numbers=[3, 8, 14], correlation=2,
            gate=torch.nn.functional.silu, radial_MLP=[8, 8], atomic_inter_scale=[1.0] * len(heads),
            atomic_inter_shift=[0.0] * len(heads), heads=list(heads), **more,
        )  # fmt: skip
    finally:
        torch.set_default_dtype(before)
    path = tmp_path / "some.model"
    torch.save(model, path)
    found = read_model_file(path)
    assert found.foreign == ()
    description = found.description
    assert (description.heads, description.dtype) == (heads, "float64")
    assert description.e0s_ev == {"Li": 0.0, "O": 1.0, "Si": 2.0}
    assert description.num_params == sum(p.numel() for p in model.parameters())
