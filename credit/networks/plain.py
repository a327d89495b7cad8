"""ResMLP as an ordinary torch module, with the parameter names of `resmlp`: to load, not to train.

The functions of `resmlp` are what runs train with; this is the same network for hooks, autograd
and other libraries.
"""

import torch
from torch import Tensor, nn

from credit.networks.base import Params
from credit.networks.resmlp import ALPHA, depth_of


class Block(nn.Module):
    """h + W2 act(W1 LN(h) + b1) + b2."""

    def __init__(self, width: int, alpha: float | None) -> None:
        super().__init__()
        self.ln, self.alpha = nn.LayerNorm(width), alpha
        self.fc1, self.fc2 = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, h: Tensor) -> Tensor:
        pre = self.fc1(self.ln(h))
        phi = nn.functional.gelu(pre) if self.alpha is None else pre.lerp(pre.tanh(), self.alpha)
        return h + self.fc2(phi)


class PlainResMLP(nn.Module):
    """The network of some parameters: standardised inputs (N, C, H, W) or (N, D) to logits (N, C).

    Its blocks are `blocks.0` to `blocks.{L-1}`; their outputs are h_1 to h_L.
    """

    def __init__(self, params: Params) -> None:
        super().__init__()
        width, inputs = params["embed.weight"].shape
        alpha = float(params[ALPHA]) if ALPHA in params else None
        self.embed = nn.Linear(inputs, width)
        self.blocks = nn.ModuleList(Block(width, alpha) for _ in range(depth_of(params)))
        normed = "out_ln.weight" in params
        self.out_ln = nn.LayerNorm(width) if normed else nn.Identity()
        self.out_head = nn.Linear(width, len(params["out_head.bias"]))
        self.to(params["embed.weight"].dtype)
        self.load_state_dict({name: p for name, p in params.items() if name != ALPHA})

    def forward(self, x: Tensor) -> Tensor:
        h = self.embed(torch.flatten(x, 1))
        for block in self.blocks:
            h = block(h)
        return self.out_head(self.out_ln(h))
