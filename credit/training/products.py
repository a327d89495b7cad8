"""What `precision` means: in which arithmetic a network is multiplied.

| precision | products with weights | parameters, states, all else |
| --- | --- | --- |
| fp32 | IEEE float32 | float32 |
| tf32 | operands rounded to 10 bits on a GPU's tensor cores, summed in float32 | float32 |
| bf16 | operands and result rounded to bfloat16, summed in float32 | float32 |
| fp64 | float64 | float64 |

Coarser products are those of training steps; evaluation and measurements multiply in float32, and
so do a rule's own products (feedback matrices) in bf16.

On a CPU, torch sends float32 products to MKL, or to oneDNN where the latter may round to bfloat16.
On x86 CPUs without AMX, oneDNN has no use for that permission: it multiplies in float32, and where
MKL does not use AVX-512 (AMD) it does so up to a quarter faster. Whether it really does is measured
here before it is let; nothing is rounded without being asked for.
"""

import contextlib
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import torch

ROUNDING = 2e-5
"""Largest error of a float32 product of 3072 terms, over its largest entry. Measured: MKL 3e-7,
oneDNN 1e-6; with operands rounded to bfloat16 it is 1e-3."""


class Precision(NamedTuple):
    """Types of one precision."""

    states: torch.dtype  # parameters, moments, states, gradients
    weights: torch.dtype  # what weight matrices are rounded to before a step


PRECISIONS = {
    "fp32": Precision(torch.float32, torch.float32),
    "tf32": Precision(torch.float32, torch.float32),  # rounded by the tensor cores
    "bf16": Precision(torch.float32, torch.bfloat16),
    "fp64": Precision(torch.float64, torch.float64),
}

_ONEDNN: Any = getattr(torch.backends.mkldnn, "matmul", None)
"""What oneDNN may do with float32 operands; untyped in torch."""


def prepare(device: torch.device) -> None:
    """Let float32 products be exact, and then as fast as they can. For the whole process."""
    if device.type == "cuda":
        torch.backends.cuda.matmul.fp32_precision = "ieee"
        torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
    elif _keeps_float32():
        _ONEDNN.fp32_precision = "bf16"


@contextlib.contextmanager
def of_a_step(precision: str) -> Iterator[None]:
    """Round to TF32 inside, if that is the precision. A captured step keeps what it was."""
    if precision != "tf32":
        yield
        return
    torch.backends.cuda.matmul.fp32_precision = "tf32"
    try:
        yield
    finally:
        torch.backends.cuda.matmul.fp32_precision = "ieee"


@lru_cache(maxsize=1)
def _keeps_float32() -> bool:
    """Whether oneDNN, permitted to round float32 operands to bfloat16, leaves them as they are."""
    if _ONEDNN is None or not torch.backends.mkldnn.is_available():
        return False
    source = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=source)

    pairs = [  # in the layouts of a step: embedding and its gradient, block and its gradient
        (draw(128, 3072), draw(512, 3072).mT),
        (draw(2, 128, 256).mT.flatten(0, 1), draw(128, 3072)),
        (draw(2, 128, 256), draw(2, 256, 256).mT),
        (draw(2, 128, 256).mT, draw(2, 128, 256)),
    ]
    before, _ONEDNN.fp32_precision = _ONEDNN.fp32_precision, "bf16"
    try:
        return all(_error(a, b) < ROUNDING for a, b in pairs)
    finally:
        _ONEDNN.fp32_precision = before


def _error(a: torch.Tensor, b: torch.Tensor) -> float:
    exact = a.double() @ b.double()
    return float((a @ b - exact).abs().max() / exact.abs().max())
