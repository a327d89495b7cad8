"""Torch modules as networks: ResMLP again, networks of one's own, and ones that are refused."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from credit.networks.module import Parts
from tests import reference


class Residual(nn.Module):
    """h + f(h)."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, h: Tensor) -> Tensor:
        return h + self.inner(h)


def resmlp(image, classes, width, depth, activation="gelu", alpha=1.0) -> nn.Module:
    """The published network, through autograd."""
    plain = reference.ResMLP(
        math.prod(image), width, classes, depth, alpha if activation == "phi" else None
    )
    embed = nn.Sequential(nn.Flatten(), plain.embed)
    head = nn.Sequential(plain.out_ln, plain.out_head)
    return Parts(embed, [Residual(block) for block in plain.blocks], head)


def own(image, classes, width, depth) -> Parts:
    """A network of one's own, in two lines."""
    embed = nn.Sequential(nn.Flatten(), nn.Linear(math.prod(image), width))
    blocks = [nn.Sequential(nn.Linear(width, width), nn.Tanh()) for _ in range(depth)]
    return Parts(embed, blocks, nn.Linear(width, classes))


class Functional(nn.Module):
    """Uses a weight without calling the module that holds it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc = nn.Linear(width, width)

    def forward(self, h: Tensor) -> Tensor:
        return nn.functional.linear(h, self.fc.weight).tanh()


class Mixing(nn.Module):
    """Multiplies by a buffer."""

    mix: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mix", torch.eye(width) + 0.5)

    def forward(self, h: Tensor) -> Tensor:
        return h @ self.mix


def statistics(width: int) -> nn.Module:
    norm = nn.BatchNorm1d(width, track_running_stats=False)
    return nn.Sequential(nn.Linear(width, width), nn.Tanh(), norm)


def blocks(made: dict[int, Callable[[int], nn.Module]]) -> Callable[..., nn.Module]:
    """`own` with other blocks in some places, each made from the width."""

    def factory(image, classes, width, depth) -> nn.Module:
        network = own(image, classes, width, depth)
        for place, make in made.items():
            network.blocks[place] = make(width)
        return network

    return factory


functional = blocks({1: Functional})
odd_blocks = blocks({0: lambda _: nn.Tanh(), 1: Mixing, 2: statistics})
dropping = blocks({0: lambda _: nn.Dropout(0.5)})
remembering = blocks({0: nn.BatchNorm1d})
misfit = blocks({1: lambda width: nn.Linear(width + 1, width)})


def fixed(image, classes, width, depth) -> nn.Module:
    made = own(image, classes, width, depth)
    made.embed.requires_grad_(False)
    return made


def tied(image, classes, width, depth) -> nn.Module:
    made = own(image, classes, width, depth)
    first, second = (block.get_submodule("0") for block in made.blocks[:2])
    second.weight = first.weight
    return made


def loose(image, classes, width, depth) -> nn.Module:
    made = own(image, classes, width, depth)
    made.extra = nn.Parameter(torch.zeros(1))
    return made


def headless(image, classes, width, depth) -> nn.Module:
    return nn.Sequential(own(image, classes, width, depth))


def few_logits(image, classes, width, depth) -> nn.Module:
    return own(image, classes - 1, width, depth)


def shallow(image, classes, width, depth) -> nn.Module:
    return own(image, classes, width, depth - 1)


def failing(image, classes, width, depth) -> nn.Module:
    raise ValueError("not today")
