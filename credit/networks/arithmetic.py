"""Matrix products, LayerNorm and cross-entropy, as networks of any kind need them.

Matrix products run in the precision of the weight matrices: where those are coarser than the rest,
operands and results are rounded to it. Shape legend: N batch, d width, C classes.
"""

from typing import NamedTuple

import torch
from torch import Tensor

LN_EPS = 1e-5


def product(a: Tensor, b: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """a @ b, rounded to `dtype` (by default that of b) before and after, as numbers of a's type."""
    dtype = dtype or b.dtype
    if a.dtype == b.dtype == dtype:
        return a @ b
    return (a.to(dtype) @ b.to(dtype)).to(a.dtype)


def linear(inputs: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """inputs (..., N, i), weight (..., o, i), bias (..., o) -> (..., N, o)."""
    return product(inputs, weight.mT).add_(bias.unsqueeze(-2))


def weight_grad(at_output: Tensor, inputs: Tensor, dtype: torch.dtype) -> Tensor:
    """Gradient of a weight matrix, (..., o, i), multiplied in `dtype`.

    Args:
        at_output: gradient at what it gives, (..., N, o).
        inputs: what it is given, (..., N, i).
    """
    if inputs.dim() == 3 and len(inputs) == 1:  # a batch of one is up to 1.3 x slower on a CPU
        return product(at_output[0].mT, inputs[0], dtype).unsqueeze(0)
    return product(at_output.mT, inputs, dtype)


class Normed(NamedTuple):
    """LayerNorm without its affine part, and what its backward pass needs."""

    out: Tensor  # (..., N, d)
    inputs: Tensor  # (..., N, d)
    mean: Tensor  # (..., N, 1)
    rstd: Tensor  # (..., N, 1), 1/deviation

    def rows(self, rows: slice) -> "Normed":
        """The part that belongs to some runs of a stack."""
        return Normed(*(t[rows] for t in self))


def standardise(h: Tensor) -> Normed:
    """LayerNorm without its affine part. h (..., N, d)."""
    shape, one, zero = h.shape[-1:], None, None
    if h.is_cpu:  # its kernel is vectorised with an affine part: 2.3 x faster, the same bits
        one = torch.ones(shape, dtype=h.dtype)  # h.new_ones would be a batch of them under vmap
        zero = torch.zeros(shape, dtype=h.dtype)
    out, mean, rstd = torch.native_layer_norm(h, shape, one, zero, LN_EPS)
    return Normed(out, h, mean, rstd)


def affine(normed: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """LayerNorm's affine part. normed (..., N, d), weight and bias (..., d)."""
    return torch.addcmul(bias.unsqueeze(-2), normed, weight.unsqueeze(-2))


def norm_vjp(cotangent: Tensor, normed: Normed) -> Tensor:
    """Pull a cotangent of `standardise`'s output back to its input."""
    _, h, mean, rstd = normed
    shape, no_affine = h.shape[-1:], (None, None, [True, False, False])
    return torch.ops.aten.native_layer_norm_backward(cotangent, h, shape, mean, rstd, *no_affine)[0]


def output_error(logits: Tensor, labels: Tensor) -> Tensor:
    """e_T = softmax(logits) - onehot(labels): the per-sample loss gradient at the logits.

    logits (..., N, C), labels (..., N) -> (..., N, C).
    """
    classes = torch.arange(logits.shape[-1], device=labels.device)
    return logits.softmax(-1) - (labels.unsqueeze(-1) == classes).to(logits.dtype)


def losses(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of every sample. logits (..., N, C), labels (..., N) -> (..., N)."""
    picked = logits.gather(-1, labels.unsqueeze(-1)).squeeze(-1)
    return logits.logsumexp(-1) - picked
