"""A MACE model compiled by torch: a minute or two at the start, faster steps after it.

Kernels are fused, so that less is written to memory and read again, and forward and backward pass
become one piece without Python in between. MACE itself prepares its modules for it.
"""

from __future__ import annotations

import warnings
from typing import Any


def compiled(model: Any, device: str) -> Any:
    """Return a callable like a MACE model, which torch compiles when it is first called.

    Sizes are left open: a changing number of neighbours compiles nothing anew, but a graph of one
    system and graphs of several are different code, and so are those with and without stress.
    """
    import torch
    from mace.tools.compile import prepare
    from mace.tools.scripts_utils import extract_model

    torch.compiler.reset()  # else a process of many jobs meets the limit of compilations
    before = torch.get_default_dtype()
    torch.set_default_dtype(next(model.parameters()).dtype)
    try:
        with warnings.catch_warnings():  # of torch, about MACE's own code
            warnings.simplefilter("ignore")
            plain = prepare(extract_model)(model=model, map_location=device)
    finally:
        torch.set_default_dtype(before)
    code = torch.compile(plain, dynamic=True, fullgraph=True)

    def call(graph: dict[str, Any], *, compute_stress: bool) -> Any:
        graph["positions"].requires_grad_(True)
        # 'training' keeps the graph of the derivative, without which there is nothing to compile
        return code(graph, compute_stress=compute_stress, training=True)

    return call
