"""Operations that a CUDA graph cannot record: those that wait for a number, or move numbers.

A call that is not refused here may still fail to be recorded; a call that is refused costs speed
alone, as the step that makes it is not recorded.
"""

import sys
import traceback
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

READS = "reads a number"
SIZES = "has a result whose size depends on numbers"
CHECKS = "checks its result, or computes it, on the CPU"
REFUSED = {
    **dict.fromkeys(("_local_scalar_dense", "equal", "bincount", "histc"), READS),
    **dict.fromkeys(("nonzero", "masked_select", "_unique", "_unique2", "unique_dim"), SIZES),
    **dict.fromkeys(("unique_consecutive", "unique_dim_consecutive"), SIZES),
    **dict.fromkeys(("geqrf", "ormqr", "cholesky", "lu_unpack", "triangular_solve"), CHECKS),
}
"""Operations by name, and why a graph cannot record them on any argument."""
FACTORISES = ("linalg_", "_linalg_")
"""How names of matrix factorisations begin; `HARMLESS` are the others that do so."""
HARMLESS = ("linalg_vector_norm", "linalg_cross", "linalg_vecdot", "linalg_diagonal")
_TORCH = str(Path(torch.__file__).parent)


def refusal(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    """Return why a graph cannot record a call of an operation; empty if it may."""
    name = func._schema.name.rpartition("::")[2]
    if why := REFUSED.get(name):
        return why
    if name.startswith(FACTORISES) and name not in HARMLESS:
        return CHECKS
    if name == "repeat_interleave" and kwargs.get("output_size") is None:
        return SIZES
    if name == "index" and _by_mask(args[1]):
        return SIZES
    if name.startswith("index_put") and _by_mask(args[1]) and args[2].numel() != 1:
        return SIZES
    if name in ("_to_copy", "copy_"):
        tensors = [leaf for leaf in tree_leaves(args) if isinstance(leaf, Tensor)]
        devices = {t.device.type for t in tensors} | {torch.device(d).type for d in _to(kwargs)}
        if len(devices - {"meta"}) > 1:  # of a tensor on meta, the form alone is asked
            return f"moves numbers between {' and '.join(sorted(devices))}"
    return ""


def _by_mask(indices: Sequence[Tensor | None]) -> bool:
    return any(i is not None and i.dtype in (torch.bool, torch.uint8) for i in indices)


def _to(kwargs: Mapping[str, Any]) -> list[Any]:
    return [kwargs["device"]] if kwargs.get("device") is not None else []


class Watch(TorchDispatchMode):
    """Notes the first call inside that a graph cannot record.

    Attributes:
        found: the operation, the place and the reason; empty if there is none.
    """

    found: str = ""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping | None = None
    ) -> Any:
        if not self.found and (why := refusal(func, args, kwargs or {})):
            self.found = f"{_caller()}: {func._schema.name.rpartition('::')[2]} {why}"
        return func(*args, **(kwargs or {}))


def _caller() -> str:
    """Return the innermost line that is neither of torch nor of this file."""
    for frame in reversed(traceback.extract_stack()):
        if not frame.filename.startswith((_TORCH, __file__)):
            return f"{Path(frame.filename).name}, line {frame.lineno}"
    return "torch"


@lru_cache
def warn(found: str) -> None:
    """Print what a `Watch` has found, once."""
    print(
        f"credit: {found}; no CUDA graph can record that: on a GPU, steps of stacks with it are "
        "not recorded, and slower",
        file=sys.stderr,
    )
