"""Norms and cosines that hold at any scale.

`F.cosine_similarity` clamps norms at 1e-8 and squares entries in their own precision: with
gradients of 1e-10 its cosine is wrong by a factor of 100, with 1e-25 it is 0. Here every vector is
divided by its largest entry before it is squared.
"""

import torch
from torch import Tensor


def norm(v: Tensor) -> Tensor:
    """Euclidean norm over the last dimension, (..., d) -> (...), float64.

    Neither underflows nor overflows. A vector with a non-finite entry has norm nan.
    """
    peak = v.abs().amax(-1, keepdim=True)
    length = peak.double() * torch.linalg.vector_norm(v / peak, dim=-1, keepdim=True).double()
    return torch.where(peak == 0, 0.0, length).squeeze(-1)


def unit(v: Tensor) -> Tensor:
    """v / norm(v), (..., d). nan for the zero vector and for non-finite entries: no direction."""
    scaled = v / v.abs().amax(-1, keepdim=True)
    return scaled / torch.linalg.vector_norm(scaled, dim=-1, keepdim=True)


def cosine(a: Tensor, b: Tensor) -> Tensor:
    """Cosine over the last dimension, (..., d) -> (...), in the precision of its arguments.

    nan, never 0 or 1, where either vector has no direction.
    """
    return (unit(a) * unit(b)).sum(-1).clamp(-1.0, 1.0)


def median(values: Tensor) -> Tensor:
    """Median over the last dimension, ignoring nan; the middle two averaged. (..., n) -> (...)."""
    return values.double().nanquantile(0.5, dim=-1)
