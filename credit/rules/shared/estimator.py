"""The small network that learned rules train: pure functions on a dictionary of tensors.

    z = W_h LN(h) + W_t time(t) + W_s s + b;  further layers z -> W GELU(z) + b

One estimator serves every hidden state of its run, told by t = l / L which one it looks at. Shape
legend: P rows, d width, S code, T time features, H hidden units, O outputs.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

Tensors = dict[str, Tensor]

TIME_FEATURES = 16


def init(
    d: int, code: int, hidden: int, layers: int, out: int, generator: torch.Generator
) -> Tensors:
    """Parameters in float32, PyTorch's default initialisation of Linear.

    `layers` counts the output, of `out` numbers, and the hidden ones, of `hidden` units.
    """

    def uniform(rows: int, columns: int, fan_in: int) -> Tensor:
        return (torch.rand(rows, columns, generator=generator) * 2 - 1) * fan_in**-0.5

    fan_in = d + TIME_FEATURES + code
    params = {
        "in.h": uniform(hidden, d, fan_in),
        "in.t": uniform(hidden, TIME_FEATURES, fan_in),
        "in.s": uniform(hidden, code, fan_in),
        "in.bias": uniform(1, hidden, fan_in)[0],
    }
    for layer in range(1, layers - 1):
        params[f"hidden{layer}.weight"] = uniform(hidden, hidden, hidden)
        params[f"hidden{layer}.bias"] = uniform(1, hidden, hidden)[0]
    params["out.weight"] = uniform(out, hidden, hidden)
    params["out.bias"] = uniform(1, out, hidden)[0]
    return params


def products(d: int, code: int, hidden: int, layers: int, out: int) -> int:
    """Multiply-adds of one row, forward."""
    return hidden * (d + TIME_FEATURES + code + (layers - 2) * hidden + out)


def apply(params: Tensors, h: Tensor, t: Tensor, s: Tensor) -> Tensor:
    """The estimator's output (..., O) for h (..., d), time features t (..., T), code s (..., S)."""
    normed = F.layer_norm(h, h.shape[-1:])
    z = normed @ params["in.h"].mT + (t @ params["in.t"].mT + params["in.bias"])
    z = z + s @ params["in.s"].mT
    layer = 1
    while f"hidden{layer}.weight" in params:
        z = F.gelu(z) @ params[f"hidden{layer}.weight"].mT + params[f"hidden{layer}.bias"]
        layer += 1
    return F.gelu(z) @ params["out.weight"].mT + params["out.bias"]


def time_features(depth: int, like: Tensor) -> Tensor:
    """Features of t = l / L for l = 0 .. L: sines and cosines of half to four turns, (L+1, T)."""
    t = torch.arange(depth + 1, device=like.device, dtype=like.dtype) / depth
    turns = torch.arange(1, TIME_FEATURES // 2 + 1, device=like.device, dtype=like.dtype) / 2
    angles = 2 * math.pi * t.unsqueeze(-1) * turns
    return torch.cat([angles.sin(), angles.cos()], dim=-1)
