"""Matrix products: which arithmetic torch is to use for a precision.

| precision | products | everything else |
| --- | --- | --- |
| fp32 | IEEE float32 | float32 |
| tf32 | float32 rounded to 10 bits, on the tensor cores of a GPU | float32 |
| bf16 | bfloat16, summed in float32 | float32 |
| fp64 | float64 | float64 |

On a CPU, torch sends float32 products to MKL, or to oneDNN where the latter may round to bfloat16.
On x86 CPUs without AMX, oneDNN has no use for that permission: it multiplies in float32, and where
MKL does not use AVX-512 (AMD) it does so up to a quarter faster. Whether it really does is measured
here before it is let; nothing is rounded without being asked for.
"""

from functools import lru_cache
from typing import Any

import torch

ROUNDING = 2e-5
"""Largest error of a float32 product of 3072 terms, over its largest entry. Measured: MKL 3e-7,
oneDNN 1e-6; with operands rounded to bfloat16 it is 1e-3."""


_ONEDNN: Any = getattr(torch.backends.mkldnn, "matmul", None)
"""What oneDNN may do with float32 operands; untyped in torch."""


def prepare(precision: str, device: torch.device) -> None:
    """Let products run as fast as `precision` allows, and no coarser. For the whole process."""
    if device.type == "cuda":
        torch.backends.cuda.matmul.fp32_precision = "tf32" if precision == "tf32" else "ieee"
    elif _keeps_float32():
        _ONEDNN.fp32_precision = "bf16"


@lru_cache(maxsize=1)
def _keeps_float32() -> bool:
    """Whether oneDNN, permitted to round float32 operands to bfloat16, leaves them as they are."""
    if not torch.backends.mkldnn.is_available():
        return False
    source = torch.Generator().manual_seed(0)
    wide = [torch.randn(n, 3072, generator=source) for n in (512, 128)]
    batch = [torch.randn(2, 256, 256, generator=source) for _ in range(2)]
    before, _ONEDNN.fp32_precision = _ONEDNN.fp32_precision, "bf16"
    try:
        return all(_error(a, b.mT) < ROUNDING for a, b in (wide, batch))
    finally:
        _ONEDNN.fp32_precision = before


def _error(a: torch.Tensor, b: torch.Tensor) -> float:
    exact = a.double() @ b.double()
    return float((a @ b - exact).abs().max() / exact.abs().max())
