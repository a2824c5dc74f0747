"""MACE model files: load them as ASE calculators, set their E0s.

A model file is a pickle of a whole ``torch.nn.Module``: loading one runs code from it. Files that
name anything that no MACE model needs are refused, see :mod:`.model_file`.
"""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ase.data import atomic_numbers, chemical_symbols

from aiida_limsm.files import whole_file

from .model_file import ModelDescription, read_model_file

if TYPE_CHECKING:
    import torch
    from mace.calculators import MACECalculator

# Model files hold pickled modules, which torch's weights-only loader refuses. The variable is
# read by torch.load; e3nn 0.4.4 loads its own constants the same way at import.
os.environ.setdefault("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")


#: Set to 1 to load model files that name code which no MACE model needs.
TRUST_VARIABLE = "LIMSM_TRUST_MODELS"


def import_mace() -> None:
    """Import mace, which must come before any other import of e3nn, without its chatter.

    At import it prints about optional accelerators, which would break ``--json`` output, and
    e3nn warns about the environment variable above.
    """
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mace.calculators  # noqa: F401


def locate_model(source: str) -> Path:
    """Return the file of a model given as a path or as the name of a published MACE-MP model.

    A name is downloaded by MACE itself, into its own cache.

    Raises
    ------
    ValueError
        For a name that is neither, and when there is no network; says where to put the file.
    """
    path = Path(source).expanduser()
    if path.is_file():
        return path
    import_mace()
    from mace.calculators.foundations_models import download_mace_mp_checkpoint, mace_mp_names

    names = [name for name in mace_mp_names if name]
    if source not in names:
        raise ValueError(f"{source} is neither a file nor a published model ({', '.join(names)})")
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            return Path(download_mace_mp_checkpoint(source))
    except Exception as error:
        raise ValueError(
            f"{source} cannot be downloaded here ({type(error).__name__}): fetch the model file on "
            "a machine with a network and give its path instead"
        ) from error


def require_device(device: str) -> None:
    """Raise ValueError if torch cannot use a device."""
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("device 'cuda' was asked for but torch sees no GPU: use device 'cpu'")


def load_model(path: Path, device: str = "cpu") -> torch.nn.Module:
    """Load the module of a model file.

    Raises
    ------
    ValueError
        If the file is not a MACE model, names code that no MACE model needs, or the device is not
        there; names the remedy.
    """
    foreign = read_model_file(path).foreign
    if foreign and os.environ.get(TRUST_VARIABLE) != "1":
        raise ValueError(
            f"{path} names {', '.join(foreign)}, which no MACE model needs and loading would run: "
            f"set {TRUST_VARIABLE}=1 if you trust where it comes from"
        )
    import_mace()
    import torch

    require_device(device)
    try:
        model: torch.nn.Module = torch.load(path, map_location=device, weights_only=False)
    except Exception as error:
        raise ValueError(
            f"{path} cannot be loaded by this MACE ({type(error).__name__}): it may need another "
            "version of mace-torch or torch"
        ) from error
    return model


def describe_model(path: Path) -> ModelDescription:
    """Read the description of a model from its file; nothing in the file is run."""
    return read_model_file(path).description


def replace_e0s(model: Any, e0s_ev: Mapping[str, float]) -> None:
    """Set isolated-atom energies of a loaded model in place, for every head.

    Elements of the model that are not named keep theirs.

    Raises
    ------
    ValueError
        If the model does not know one of the elements.
    """
    import torch

    known = [int(z) for z in model.atomic_numbers]
    buffer = model.atomic_energies_fn.atomic_energies
    with torch.no_grad():
        for symbol, energy in e0s_ev.items():
            z = atomic_numbers[symbol]
            if z not in known:
                names = ", ".join(chemical_symbols[k] for k in known)
                raise ValueError(
                    f"the potential knows {names} but not {symbol}: take a foundation model "
                    f"trained with {symbol}"
                )
            buffer[..., known.index(z)] = energy


def write_with_e0s(source: Path, target: Path, e0s_ev: Mapping[str, float]) -> None:
    """Write a copy of a model whose E0s are those of another code.

    ``mace_run_train`` copies the foundation's E0s over the asked ones whenever both have the
    same shape, so they have to be in the file before the fine-tuning starts. Energies are kept
    in the model's own precision.
    """
    import torch

    model = load_model(source)
    replace_e0s(model, e0s_ev)
    with whole_file(target) as temporary:
        torch.save(model, temporary)


def write_head(source: Path, target: Path, head: str) -> None:
    """Write a model that has one of several heads only, as ``mace_select_head`` does.

    Raises
    ------
    ValueError
        If the file cannot be loaded.
    """
    import torch
    from mace.tools.scripts_utils import remove_pt_head

    model = load_model(source)
    before = torch.get_default_dtype()
    torch.set_default_dtype(next(model.parameters()).dtype)
    try:
        with warnings.catch_warnings():  # of TorchScript, about MACE's own code
            warnings.simplefilter("ignore")
            single = remove_pt_head(model, head)
    finally:
        torch.set_default_dtype(before)
    with whole_file(target) as temporary:
        torch.save(single, temporary)


def load_calculator(
    path: Path,
    *,
    head: str | None = None,
    device: str = "cpu",
    dtype: str = "float32",
    e0s_ev: Mapping[str, float] | None = None,
) -> MACECalculator:
    """Return an ASE calculator for a model file.

    Raises
    ------
    ValueError
        For a file that is no MACE model, an unknown head, or a model with several heads and
        none chosen (MACE itself would pick one silently).
    """
    import_mace()
    import torch
    from mace.calculators import MACECalculator

    if device == "cpu":
        # TorchScript fuses kernels at the second call. On a CPU steps are no faster for it (60 or
        # 120 atoms: 14 and 19 ms a step with and without), the fusing takes half a second, and it
        # changes forces by 1e-8 eV/Å from one call to the next: a continued run would no longer
        # equal the uninterrupted one bit for bit.
        torch.jit.set_fusion_strategy([("STATIC", 0), ("DYNAMIC", 0)])
    model: Any = load_model(path, device)
    heads = [str(name) for name in getattr(model, "heads", None) or ["Default"]]
    if head is None and len(heads) > 1:
        raise ValueError(f"the potential has the heads {', '.join(heads)}: choose one with 'head'")
    if head is not None and head not in heads:
        raise ValueError(f"the potential has no head '{head}', only {', '.join(heads)}")
    if e0s_ev is not None:
        replace_e0s(model, e0s_ev)
    # else MACE does it, with a warning on the terminal
    model = model.to(getattr(torch, dtype))
    return MACECalculator(models=[model], device=device, default_dtype=dtype, head=head or heads[0])


def require_elements(path_elements: tuple[str, ...], needed: set[str]) -> None:
    """Raise ValueError if a potential lacks an element of a structure."""
    missing = sorted(needed - set(path_elements))
    if missing:
        raise ValueError(
            f"the potential knows {', '.join(path_elements)} but the structure holds "
            f"{', '.join(missing)}: use a potential trained with {', '.join(missing)}"
        )
