"""Small networks, batches for them, and credits whose verdict is known."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from credit.measures.base import Options
from credit.randomness import generator

CLASSES, SAMPLES = 5, 24
QUICK = Options(directions=2, relative_steps=True)


class Block(nn.Module):
    """A residual block that changes what it is given."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc = nn.Linear(width, width)

    def forward(self, h: Tensor) -> Tensor:
        return h + torch.tanh(self.fc(h))


class Mlp(nn.Module):
    """An embedding, blocks with normalisation and dropout between, and a head."""

    def __init__(self, width: int = 12, depth: int = 4) -> None:
        super().__init__()
        self.embed = nn.Linear(8, width)
        self.norm = nn.BatchNorm1d(width)
        self.blocks: Any = nn.ModuleList(Block(width) for _ in range(depth))
        self.drop = nn.Dropout(0.3)
        self.head = nn.Linear(width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(self.embed(x))
        for block in self.blocks:
            h = self.drop(block(h))
        return self.head(h)


class Reader(nn.Module):
    """Two LSTMs, which return tuples."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(30, 8)
        self.first = nn.LSTM(8, 12, batch_first=True)
        self.second = nn.LSTM(12, 12, batch_first=True)
        self.head = nn.Linear(12, CLASSES)

    def forward(self, tokens: Tensor) -> Tensor:
        h, _ = self.first(self.embedding(tokens))
        h, _ = self.second(h)
        return self.head(h[:, -1])


def seeded(make, *args, key: int = 0, **more):
    with torch.random.fork_rng():
        torch.manual_seed(key)
        return make(*args, **more)


def draw(*shape: int, key: int = 0) -> Tensor:
    return torch.randn(*shape, generator=generator(key, "test"))


def labels(n: int = SAMPLES) -> Tensor:
    return torch.randint(0, CLASSES, (n,), generator=generator(0, "labels"))


def batch(n: int = SAMPLES) -> tuple[Tensor, Tensor]:
    return draw(n, 8), labels(n)


def exact(hiddens, logits, y):
    return torch.autograd.grad(F.cross_entropy(logits, y, reduction="sum"), hiddens)
