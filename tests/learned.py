"""What the tests of learned rules share: a small network, its batches, its training."""

import torch
from torch import Tensor

from credit import rules
from credit.networks import resmlp
from credit.randomness import generator
from credit.rules import Rule, Shape, State, Trace
from credit.spec import RunSpec
from credit.training.loop import learning_rate
from credit.training.stack import Stack
from tests.reference import Batch

NAMES = tuple(name for name in rules.available() if rules.get(name).learned)
SHAPE = Shape(9, 8, 5, 3)  # D, d, C, L
PHI = {"activation": "phi", "terminal_norm": False}
ESTIMATOR = {
    "estimator_width": 8,
    "warmup_ratio": 0.0,
    "draws": 3,
    "field_directions": 2,
    "ema": 0.9,
}
EPOCHS, SIZES = 4, (7, 7, 2)  # the last batch has fewer samples than there are layers


def spec(rule: str, **changes) -> RunSpec:
    """A float64 run on the CPU, all blocks trainable, with a small estimator."""
    base = {
        "rule": rule,
        "width": SHAPE.width,
        "depth": SHAPE.depth,
        "k": SHAPE.depth,
        "epochs": EPOCHS,
        "device": "cpu",
        "precision": "fp64",
        "credit_reduction": "sum",
    }
    return RunSpec(**{**base, **ESTIMATOR, **changes})


def batches(seed: int = 0, epochs: int = EPOCHS) -> list[list[Batch]]:
    source = generator(seed, "test batches")
    return [
        [
            (
                torch.randn(n, SHAPE.d_in, generator=source, dtype=torch.float64),
                torch.randint(SHAPE.classes, (n,), generator=source),
            )
            for n in SIZES
        ]
        for _ in range(epochs)
    ]


def train(stack: Stack, data: list[list[Batch]], start: int = 0) -> Stack:
    """As the training loop does, on given batches; those of all seeds are the same."""
    first, seeds = stack.specs[0], len(stack.seeds)
    for epoch, steps in enumerate(data, start=start):
        stack.set_lr(learning_rate(first.lr, epoch, first.epochs))
        for x, y in steps:
            stack.set_phase(epoch, first.epochs)
            x = x.to(stack.dtype)
            if seeds > 1:
                x, y = x.expand(seeds, -1, -1), y.expand(seeds, -1)
            stack.step(x, y)
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


def used_params(kind: dict, alpha: float = 0.7, spread: float = 0.3) -> resmlp.Params:
    """Away from initialisation: no term is small, none is exactly 0 or 1."""
    phi = kind.get("activation") == "phi"
    params = resmlp.init(
        *SHAPE,
        generator(0, "init"),
        torch.float64,
        alpha if phi else None,
        kind.get("terminal_norm", True),
    )
    source = generator(0, "test noise")
    return {
        name: p
        if name == resmlp.ALPHA
        else p + spread * torch.randn(p.shape, generator=source, dtype=torch.float64)
        for name, p in params.items()
    }


def trace_of(params: resmlp.Params, x: Tensor, y: Tensor) -> tuple[Trace, list[Tensor]]:
    """What a step shows a learned rule, and the exact gradients, which it does not."""
    run = resmlp.forward(params, x)
    error = resmlp.output_error(run.logits, y)
    exact = resmlp.hidden_gradients(params, run, error)
    return Trace(run.hiddens, run.logits, y, error, exact[-1], [], params), exact


def state_of(rule: Rule, one: RunSpec) -> State:
    """The rule's state before training, in float64."""
    drawn = rule.init(one, SHAPE, generator(one.seed, "feedback"))
    return {key: value.double() for key, value in drawn.items()}


def tail(trace: Trace, h: Tensor, layer: int) -> Tensor:
    """h_L reached from h_layer (..., d)."""
    for block in range(layer, trace.depth):
        h = trace.advance(h, block)
    return h


def cosine(a: Tensor, b: Tensor) -> Tensor:
    """(..., d), (..., d) -> (...)."""
    return (a * b).sum(-1) / (a.norm(dim=-1) * b.norm(dim=-1))
