"""Small networks and stacks: parameters, batches, training, and every number that a run carries."""

from collections.abc import Sequence

import torch
from torch import Tensor

from credit import rules
from credit.networks import resmlp
from credit.randomness import generator
from credit.rules import Shape
from credit.spec import RunSpec
from credit.training.loop import learning_rate
from credit.training.stack import Stack
from tests.reference import Batch

Numbers = Tensor | Sequence[Tensor]


def close(actual: Numbers, expected: Numbers, rtol: float = 1e-10, atol: float = 1e-13) -> None:
    torch.testing.assert_close(actual, expected, rtol=rtol, atol=atol)


def cosine(a: Tensor, b: Tensor) -> Tensor:
    """(..., d), (..., d) -> (...)."""
    return (a * b).sum(-1) / (a.norm(dim=-1) * b.norm(dim=-1))


def draw(*size: int, seed: int = 0) -> Tensor:
    return torch.randn(*size, generator=generator(seed, "test"), dtype=torch.float64)


def spec(rule: str, shape: Shape, **changes) -> RunSpec:
    """A float64 run on the CPU, all blocks trainable, its reduction resolved as a sweep would."""
    base = {
        "rule": rule,
        "width": shape.width,
        "depth": shape.depth,
        "k": shape.depth,
        "device": "cpu",
        "precision": "fp64",
        "credit_reduction": rules.get(rule).published_reduction,
    }
    return RunSpec(**{**base, **changes})


def used_params(
    shape: Shape,
    seed: int = 0,
    alpha: float | None = None,
    terminal_norm: bool = True,
    spread: float = 0.3,
) -> resmlp.Params:
    """Far from initialisation: no term is small, none is exactly 0 or 1."""
    drawn = generator(seed, "init")
    params = resmlp.init(*shape[:4], drawn, torch.float64, alpha, terminal_norm)
    source = generator(seed, "test noise")
    return {
        name: p
        if name == resmlp.ALPHA
        else p + spread * torch.randn(p.shape, generator=source, dtype=torch.float64)
        for name, p in params.items()
    }


def batches(shape: Shape, sizes: Sequence[int], epochs: int, seed: int = 0) -> list[list[Batch]]:
    source = generator(seed, "test batches")
    return [
        [
            (
                torch.randn(n, shape.d_in, generator=source, dtype=torch.float64),
                torch.randint(shape.classes, (n,), generator=source),
            )
            for n in sizes
        ]
        for _ in range(epochs)
    ]


def train(stack: Stack, data: list[list[Batch]], start: int = 0) -> Stack:
    """As the training loop does, on given batches: of each seed, or the same for all."""
    first, seeds = stack.specs[0], len(stack.seeds)
    for epoch, steps in enumerate(data, start=start):
        stack.set_lr(learning_rate(first.lr, epoch, first.epochs))
        for x, y in steps:
            stack.set_phase(epoch, first.epochs)
            if seeds > 1 and x.dim() == 2:
                x, y = x.expand(seeds, -1, -1), y.expand(seeds, -1)
            stack.step(x.to(stack.dtype), y)
    return stack


def contents(stack: Stack, row: int = 0) -> dict[str, Tensor]:
    """Every number that a run carries, as copies."""
    run = {f"param/{name}": p[row] for name, p in stack.params.items()}
    for name, (first, second) in stack.moments.items():
        run |= {f"moment1/{name}": first[row], f"moment2/{name}": second[row]}
    run |= {f"state/{key}": value for key, value in stack.rule_state(row).items()}
    return {name: value.clone() for name, value in run.items()}


def assert_same_bits(left: dict[str, Tensor], right: dict[str, Tensor]) -> None:
    assert left.keys() == right.keys()
    for name, value in left.items():
        assert value.dtype == right[name].dtype and torch.equal(value, right[name]), name


def assert_same_stacks(left: Stack, right: Stack) -> None:
    assert left.optimizer_steps == right.optimizer_steps
    for row in range(left.size):
        assert_same_bits(contents(left, row), contents(right, row))
