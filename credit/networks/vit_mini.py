"""A small vision transformer (Dosovitskiy et al. 2021, arXiv:2010.11929), blocks pre-LN.

Patches of 4 x 4 pixels, a class token and learned positions; blocks of attention and a GELU MLP of
twice the width, each beside a skip; the head reads the class token. At d=128, L=4: .6 M parameters.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from credit.errors import CreditError
from credit.networks.module import Parts

PATCH = 4
HEAD_WIDTH = 32
"""Units of an attention head, where the width is a multiple of it."""
QUICK = {"width": "64", "depth": "4", "train_samples": "4000", "epochs": "4"}


class Tokens(nn.Module):
    """Images (N, C, H, W) -> class token and patches, with their positions, (N, T, d)."""

    def __init__(self, image: tuple[int, ...], width: int) -> None:
        super().__init__()
        channels, rows, columns = image
        self.patches = nn.Conv2d(channels, width, PATCH, stride=PATCH)
        count = (rows // PATCH) * (columns // PATCH) + 1
        self.positions = nn.Parameter(torch.randn(count, width) * 0.02)

    def forward(self, x: Tensor) -> Tensor:
        tokens = F.pad(self.patches(x).flatten(2).mT, (0, 0, 1, 0))  # the class token begins at 0
        return tokens + self.positions


class Block(nn.Module):
    """h + attention(LN(h)), and then h + MLP(LN(h))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = width // HEAD_WIDTH if width % HEAD_WIDTH == 0 else 1
        self.ln1, self.ln2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.fc1, self.fc2 = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, h: Tensor) -> Tensor:
        q, k, v = self.qkv(self.ln1(h)).unflatten(-1, (3, self.heads, -1)).movedim(-3, 0)
        q, k, v = (part.transpose(-3, -2) for part in (q, k, v))  # (N, heads, T, d / heads)
        weights = (q @ k.mT * q.shape[-1] ** -0.5).softmax(-1)
        h = h + self.out((weights @ v).transpose(-3, -2).flatten(-2))
        return h + self.fc2(F.gelu(self.fc1(self.ln2(h))))


class Head(nn.Module):
    """The class token's logits."""

    def __init__(self, width: int, classes: int, norm: bool) -> None:
        super().__init__()
        self.ln = nn.LayerNorm(width) if norm else nn.Identity()
        self.linear = nn.Linear(width, classes)

    def forward(self, h: Tensor) -> Tensor:
        return self.linear(self.ln(h[:, 0]))


def network(
    image: tuple[int, ...], classes: int, width: int, depth: int, terminal_norm: bool
) -> nn.Module:
    """Return the network for images whose sides are multiples of the patch."""
    if len(image) != 3 or image[1] % PATCH or image[2] % PATCH:
        raise CreditError(
            f"network=vit_mini takes images whose sides are multiples of {PATCH}, not {image}: "
            "choose another dataset or network"
        )
    blocks = [Block(width) for _ in range(depth)]
    return Parts(Tokens(image, width), blocks, Head(width, classes, terminal_norm))
