"""What a MACE model file holds, read without running anything in it.

``torch.save`` of a module writes a zip archive: a pickle that names classes and functions to call,
and the raw numbers. Unpickling calls them, so a crafted file runs code of its author. Here the
pickle is played with stand-ins for everything that it names, and the numbers are taken from the
archive: enough to say what the model is and whether it names anything that no MACE model needs.
Neither torch nor MACE is imported.
"""

from __future__ import annotations

import ast
import io
import math
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import chemical_symbols
from numpy.typing import NDArray

from aiida_limsm.files import sha256_of

__all__ = ["ModelDescription", "ModelFile", "read_model_file"]

_DTYPES = {
    "FloatStorage": "float32",
    "DoubleStorage": "float64",
    "HalfStorage": "float16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "BoolStorage": "bool",
}
_PACKAGES = ("mace.modules.", "e3nn.o3.", "e3nn.nn.", "e3nn.math.", "torch.nn.modules.")
#: Functions of these packages that their modules keep; their classes start with a capital.
_FUNCTIONS = {"normalize2mom", "reshape_irreps"}
_NAMES = {
    "torch": {*_DTYPES, *_DTYPES.values(), "Size", "device", "tanh", "sigmoid"},
    "torch._utils": {"_rebuild_tensor_v2", "_rebuild_parameter"},
    "torch.nn.parameter": {"Parameter"},
    "torch.nn.functional": {"silu", "relu", "gelu", "softplus", "sigmoid", "tanh"},
    "torch.fx.graph_module": {"reduce_graph_module"},
    "torch.fx._symbolic_trace": {"Tracer"},
    "collections": {"OrderedDict", "defaultdict"},
    "_codecs": {"encode"},
    "numpy": {"dtype", "ndarray", "float32", "float64", "int64"},
    "numpy.core.multiarray": {"scalar", "_reconstruct"},
    "numpy._core.multiarray": {"scalar", "_reconstruct"},
}
_BUILTINS = {
    "set",
    "frozenset",
    "slice",
    "list",
    "dict",
    "tuple",
    "int",
    "float",
    "bool",
    "complex",
}
#: Imports and calls in the source of a contraction (torch.fx) that a model carries.
_FX_IMPORTS = {
    "from math import inf", "from math import nan", "from torch import device", "import torch",
    "import torch.fx._pytree as fx_pytree", "import torch.utils._pytree as pytree",
    "NoneType = type(None)",
}  # fmt: skip
_FX_CALLS = {
    "torch.functional.einsum", "torch.functional.tensordot", "torch.einsum", "torch.tensordot",
}  # fmt: skip
_FX_METHODS = {"reshape", "permute", "view", "transpose", "contiguous"}
_FX_NODES = (
    ast.Module, ast.FunctionDef, ast.arguments, ast.arg, ast.Assign, ast.Return, ast.Call,
    ast.Attribute, ast.Name, ast.Load, ast.Store, ast.Constant, ast.Tuple, ast.List, ast.keyword,
    ast.BinOp, ast.Mult, ast.Add, ast.UnaryOp, ast.USub,
)  # fmt: skip


@dataclass(frozen=True)
class ModelDescription:
    """What a MACE model file is; ``e0s_ev`` are those of the first head."""

    architecture: str
    elements: tuple[str, ...]
    r_max_angstrom: float
    dtype: str
    heads: tuple[str, ...]
    num_params: int
    e0s_ev: dict[str, float]
    sha256: str


@dataclass(frozen=True)
class ModelFile:
    """A description, and the names in the file that no MACE model needs (``module.name``)."""

    description: ModelDescription
    foreign: tuple[str, ...]


class _Stub:
    """Stands in for an object of the file: keeps its state, does nothing."""

    name = ""

    def __init__(self, *_: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        # a dictionary for modules; anything else for what is not looked at, numpy's types say
        if isinstance(state, dict):
            self.__dict__.update(state)

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def append(self, value: Any) -> None:
        """Take an item of a list that the file makes."""

    def extend(self, values: Any) -> None:
        """Take items of a list that the file makes."""


@dataclass
class _Tensor:
    """A tensor of the file: where its numbers are in the archive."""

    storage: tuple[str, str]
    offset: int
    shape: tuple[int, ...]


def _is_known(module: str, name: str) -> bool:
    if module in ("builtins", "__builtin__"):
        return name in _BUILTINS
    if name in _NAMES.get(module, ()):
        return True
    is_class = name.lstrip("_")[:1].isupper() and "." not in name
    return module.startswith(_PACKAGES) and (is_class or name in _FUNCTIONS)


class _Reader(pickle.Unpickler):
    """Plays a pickle without calling anything that it names."""

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data))
        self.foreign: set[str] = set()
        self._stubs: dict[str, type[_Stub]] = {}

    def find_class(self, module: str, name: str) -> Any:
        """Return a stand-in; note names that are foreign to MACE models."""
        full = f"{module}.{name}"
        if not _is_known(module, name):
            self.foreign.add(full)
        elif own := _OWN.get(name):
            return own
        elif name == "reduce_graph_module":
            return self._graph_module
        if full not in self._stubs:
            self._stubs[full] = type("_Stub", (_Stub,), {"name": full})
        return self._stubs[full]

    def persistent_load(self, pid: Any) -> Any:
        """Return type and key of a storage, ``('storage', type, key, device, size)``."""
        return pid[1].name.rpartition(".")[2], str(pid[2])

    def _graph_module(self, body: Any, imports: str = "", *_: Any) -> _Stub:
        """Check the source code of a contraction, which torch.fx compiles when it is loaded."""
        code = body.get("_code", "") if isinstance(body, dict) else ""
        if not _is_contraction(imports, code):
            self.foreign.add("source code (torch.fx.graph_module)")
        stub = _Stub()
        stub.__dict__.update(body if isinstance(body, dict) else {})
        return stub


def _rebuild_tensor(storage: Any, offset: Any, size: Any, *_: Any) -> _Tensor:
    return _Tensor(storage, int(offset), tuple(int(n) for n in size))


#: Known names that are played: containers, and the tensors.
_OWN: dict[str, Callable[..., Any]] = {
    "OrderedDict": OrderedDict,
    "set": set,
    "encode": lambda text, _="latin1": text.encode("latin1"),
    "_rebuild_tensor_v2": _rebuild_tensor,
    "_rebuild_parameter": lambda data, *_: data,
}


def _is_contraction(imports: str, code: str) -> bool:
    """Return whether source code does tensor contractions and nothing else."""
    if not {line.strip() for line in imports.splitlines() if line.strip()} <= _FX_IMPORTS:
        return False
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError):
        return False
    for node in ast.walk(tree):
        if not isinstance(node, _FX_NODES):
            return False
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            method = isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name)
            if called not in _FX_CALLS and not (method and called.split(".")[1] in _FX_METHODS):
                return False
        if isinstance(node, ast.FunctionDef) and (node.name != "forward" or node.decorator_list):
            return False
    return True


def read_model_file(path: Path) -> ModelFile:
    """Read what a model is from its file; nothing in the file is run.

    Parameters
    ----------
    path
        Written by ``torch.save`` of a MACE energy model, as ``mace_run_train`` does.

    Raises
    ------
    ValueError
        The file is cut short, damaged, or no MACE energy model; one line.
    """
    remedy = "give a file written by mace_run_train, not a checkpoint (*.pt) or a compiled model"
    try:
        with zipfile.ZipFile(path) as archive:
            if (broken := archive.testzip()) is not None:
                raise ValueError(f"{path} is damaged ({broken}): fetch it again")
            names = [name for name in archive.namelist() if name.endswith("/data.pkl")]
            if len(names) != 1 or any("/code/" in name for name in archive.namelist()):
                raise zipfile.BadZipFile("not one pickled module")
            reader = _Reader(archive.read(names[0]))
            root = reader.load()
            folder = names[0].removesuffix("data.pkl")
            description = _describe(root, path, lambda key: archive.read(f"{folder}data/{key}"))
    except (zipfile.BadZipFile, EOFError) as error:
        raise ValueError(f"{path} cannot be loaded as a MACE model ({error}): {remedy}") from None
    except (
        pickle.UnpicklingError, AttributeError, KeyError, TypeError, IndexError, StopIteration
    ) as error:  # fmt: skip
        reason = type(error).__name__
        raise ValueError(f"{path} cannot be loaded as a MACE model ({reason}): {remedy}") from None
    return ModelFile(description, tuple(sorted(reader.foreign)))


def _describe(root: Any, path: Path, read: Callable[[str], bytes]) -> ModelDescription:
    """Return the description of a model of stand-ins."""
    if not isinstance(root, _Stub) or "atomic_energies_fn" not in root.__dict__.get("_modules", {}):
        kind = root.name.rpartition(".")[2] if isinstance(root, _Stub) else type(root).__name__
        raise ValueError(f"{path} holds a {kind}, not a MACE energy model")

    def array(tensor: _Tensor) -> NDArray[Any]:
        kind, key = tensor.storage
        count = math.prod(tensor.shape)
        size = np.dtype(_DTYPES[kind]).itemsize
        data = np.frombuffer(read(key), _DTYPES[kind], count, offset=tensor.offset * size)
        return data.reshape(tensor.shape)

    state = root.__dict__
    buffers = {**state["_buffers"], **state["_parameters"]}
    elements = tuple(chemical_symbols[z] for z in array(buffers["atomic_numbers"]).tolist())
    energies = state["_modules"]["atomic_energies_fn"].__dict__["_buffers"]["atomic_energies"]
    first_head = array(energies).reshape(-1, len(elements))[0]
    parameters = list(_parameters(root))
    return ModelDescription(
        architecture=root.name.rpartition(".")[2],
        elements=elements,
        r_max_angstrom=float(array(buffers["r_max"])),
        dtype=_DTYPES[parameters[0].storage[0]],
        heads=tuple(str(head) for head in state.get("heads") or ("Default",)),
        num_params=sum(math.prod(tensor.shape) for tensor in parameters),
        e0s_ev={symbol: float(e) for symbol, e in zip(elements, first_head, strict=True)},
        sha256=sha256_of(path),
    )


def _parameters(module: Any) -> Iterator[_Tensor]:
    """Yield the parameters of a module and of those below it."""
    yield from (p for p in module.__dict__.get("_parameters", {}).values() if p is not None)
    for below in module.__dict__.get("_modules", {}).values():
        yield from _parameters(below)
