"""Runs of every rule in one stack, stepped on as many threads as asked for."""

import torch

from credit import rules
from credit.randomness import generator
from credit.rules import Shape
from credit.spec import RunSpec
from credit.sweep.sweep import resolve
from credit.training import steppers
from credit.training.stack import Stack, arrange

SHAPE = Shape(12, 8, 5, 3)
CPU = torch.device("cpu")
RULES = ("bp", "oracle", "fa", "dfa")
LEARNED = tuple(name for name in rules.available() if rules.get(name).learned)
MORE = tuple(n for n in rules.available() if (look := rules.get(n).look) and look.place >= 20)
ESTIMATOR = {"estimator_width": 8, "estimator_every": 2, "draws": 2, "field_directions": 2}


def specs_of(seeds=(1,), names=RULES, **changes) -> list[RunSpec]:
    base = {"width": 8, "depth": 3, "device": "cpu", "precision": "fp64"} | ESTIMATOR | changes
    return arrange(
        [
            resolve(RunSpec(rule=rule, k=k, seed=seed, **base))
            for rule in names
            for k in range(4)
            for seed in seeds
        ]
    )


def batches(dtype: torch.dtype = torch.float64, seeds: int = 0, device="cpu"):
    source = generator(0, "test batches")
    lead = (seeds,) if seeds else ()
    for n in [7] * 6 + [3]:
        x = torch.randn(*lead, n, SHAPE.d_in, generator=source, dtype=dtype)
        yield x.to(device), torch.randint(SHAPE.classes, (*lead, n), generator=source).to(device)


def trained(specs, monkeypatch, threads: int, seeds: int = 0) -> Stack:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    stack = Stack(specs, SHAPE)
    assert len(stack.lanes) == min(threads, steppers.MOST_LANES)
    for x, y in batches(stack.dtype, seeds):
        step(stack, x, y)
    return stack


def step(stack: Stack, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Two steps of warm-up, then the rest."""
    stack.set_phase(stack.optimizer_steps // 2, 20)
    return stack.step(x, y)
