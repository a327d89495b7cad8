"""Networks of a few units, and a batch for them."""

import torch
from torch import Tensor

from credit.networks import resmlp
from credit.rules import Shape
from tests.reference import ResMLP
from tests.stacks import draw, used_params

D_IN, WIDTH, CLASSES, DEPTH, BATCH = 7, 6, 5, 3, 4


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def make_params(
    seed: int = 0, alpha: float | None = None, terminal_norm: bool = True
) -> resmlp.Params:
    return used_params(Shape(D_IN, WIDTH, CLASSES, DEPTH), seed, alpha, terminal_norm)


def grad_of(model: ResMLP, name: str) -> Tensor:
    grad = model.get_parameter(name).grad
    assert grad is not None, name
    return grad


X, Y = draw(BATCH, D_IN), torch.randint(CLASSES, (BATCH,), generator=stream())
