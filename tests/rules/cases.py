"""Rules, what one step shows them, and the gradients that a stack makes of their credit.

`NAMES` is what the package holds, so a new rule file is tested without an edit here, and what the
environment variable CREDIT_RULES names (package.module:Rule, comma-separated).
"""

import os

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from credit import rules
from credit.networks import arithmetic, resmlp
from credit.networks.by_hand import ResMLP
from credit.randomness import generator
from credit.rules import Rule, Shape, State, Trace
from credit.spec import RunSpec
from credit.training.stack import Stack
from tests import stacks
from tests.stacks import draw

YOURS = [name for name in os.environ.get("CREDIT_RULES", "").split(",") if name]
NAMES = [*rules.available(), *YOURS]
LOCAL = [name for name in NAMES if rules.get(name).local]
FIXED = [name for name in NAMES if not rules.get(name).learned]
DRAW = [name for name in FIXED if rules.get(name).noise(Shape(9, 8, 5, 3), 1, torch.Generator())]
"""Rules whose credit is random, given the state."""
SURROGATE = [name for name in NAMES if rules.get(name).surrogate]

SHAPE = Shape(9, 8, 5, 3)  # D, d, C, L
WIDE = Shape(24, 128, 10, 4)  # where a random direction is nearly orthogonal to a given one
N = 6
NO_CLIP = 1e30


class Barrier(torch.autograd.Function):
    """The identity forward; no gradient gets back through it, lifted or not."""

    generate_vmap_rule = True

    @staticmethod
    def forward(h: Tensor) -> Tensor:
        return h.clone()

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        pass

    @staticmethod
    def backward(ctx, *grads: Tensor) -> Tensor:
        raise AssertionError("autograd went back through a block")


def spec(rule: str, shape: Shape = SHAPE, **changes) -> RunSpec:
    return stacks.spec(rule, shape, **changes)


def batch(shape: Shape = SHAPE, n: int = N, seed: int = 0) -> tuple[Tensor, Tensor]:
    labels = torch.randint(shape.classes, (n,), generator=generator(seed, "test labels"))
    return draw(n, shape.d_in, seed=seed), labels


X, Y = batch()


def new_params(shape: Shape = SHAPE, seed: int = 0) -> resmlp.Params:
    return resmlp.init(*shape[:4], generator(seed, "init"), torch.float64)


def new_state(name: str, shape: Shape = SHAPE, seed: int = 0) -> State:
    """The rule's state before training, in the trainer's precision."""
    drawn = rules.get(name).init(spec(name, shape), shape, generator(seed, "feedback"))
    return {key: value.double() for key, value in drawn.items()}


def trace_of(
    rule: Rule, params: resmlp.Params, x: Tensor = X, y: Tensor = Y, reduction: str | None = None
) -> Trace:
    """What a run's first step shows `rule`; the reduction is the rule's own unless given."""
    run = resmlp.forward(params, x)
    error = arithmetic.output_error(run.logits, y)
    if (reduction or rule.published_reduction) == "mean":
        error = error / len(x)
    shape = SHAPE._replace(width=run.hiddens[0].shape[-1], depth=len(run.blocks))
    source = generator(RunSpec.seed, "estimator", 0)
    noise = {} if rule.learned else rule.noise(shape, len(x), source)
    return Trace(
        hiddens=run.hiddens,
        logits=run.logits,
        labels=y,
        error=error,
        grad_out=resmlp.head_input_vjp(params, run.last, error),
        hidden_grads=resmlp.hidden_gradients(params, run, error) if rule.reads_hidden_grads else [],
        weights=params if rule.learned or rule.reads_weights or rule.reads_input else {},
        inputs=x if rule.reads_input else x[:, :0],
        noise={name: draw.double() for name, draw in noise.items()},
        network=ResMLP(shape),
    )


def assign(stack: Stack, params: resmlp.Params, row: int = 0) -> None:
    for name, value in params.items():
        stack.params[name][row] = value


def gradients(stack: Stack, x: Tensor = X, y: Tensor = Y) -> list[resmlp.Params]:
    """Each run's clipped gradients in the stack's first step: Adam's first moment is a tenth."""
    assert stack.optimizer_steps == 0
    stack.step(x, y)
    return [
        {name: first[row] / (1 - 0.9) for name, (first, _) in stack.moments.items()}
        for row in range(stack.size)
    ]


def one_run(one: RunSpec, params: resmlp.Params, x: Tensor = X, y: Tensor = Y) -> resmlp.Params:
    stack = Stack([one], SHAPE)
    assign(stack, params)
    return gradients(stack, x, y)[0]


def exactly(actual: Tensor, expected: Tensor) -> bool:
    return torch.equal(actual, expected) and actual.dtype == expected.dtype


def copies(value):
    return tree_map(Tensor.clone, value)


def held_out(stack: Stack) -> list[Tensor]:
    """The credits that a measurement sees, (R, N, d) each: of per-sample errors."""
    labels = Y.expand(stack.size, -1)
    run = resmlp.forward(stack.params, X)
    error = arithmetic.output_error(run.logits, labels)
    grads = resmlp.hidden_gradients(stack.params, run, error)
    return stack.measured_credits(run, X, labels, error, grads)
