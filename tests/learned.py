"""Shared by the tests of learned rules: a small network, its batches, and what a step shows."""

from torch import Tensor

from credit import rules
from credit.networks import arithmetic, resmlp
from credit.networks.by_hand import ResMLP
from credit.randomness import generator
from credit.rules import Rule, Shape, State, Trace
from credit.rules.learned import LearnedRule
from credit.spec import RunSpec
from tests import stacks
from tests.reference import Batch

NAMES = tuple(name for name in rules.available() if isinstance(rules.get(name), LearnedRule))
SHAPE = Shape(9, 8, 5, 3)  # D, d, C, L
PHI = {"activation": "phi", "terminal_norm": False}
ESTIMATOR = {"estimator_width": 8, "warmup_ratio": 0.0}
ESTIMATOR |= {"draws": 3, "field_directions": 2, "ema": 0.9}
EPOCHS, SIZES = 4, (7, 7, 2)  # the last batch has fewer samples than there are layers


def spec(rule: str, **changes) -> RunSpec:
    base = {"epochs": EPOCHS, "credit_reduction": "sum", **ESTIMATOR}
    return stacks.spec(rule, SHAPE, **{**base, **changes})


def batches(seed: int = 0, epochs: int = EPOCHS) -> list[list[Batch]]:
    return stacks.batches(SHAPE, SIZES, epochs, seed)


def used_params(kind: dict, alpha: float = 0.7, spread: float = 0.3) -> resmlp.Params:
    """As `stacks.used_params`, of a network of this kind."""
    phi = kind.get("activation") == "phi"
    terminal_norm = kind.get("terminal_norm", True)
    return stacks.used_params(SHAPE, 0, alpha if phi else None, terminal_norm, spread)


def trace_of(params: resmlp.Params, x: Tensor, y: Tensor) -> tuple[Trace, list[Tensor]]:
    """The trace that a step shows a learned rule, and the exact gradients, which it does not."""
    run = resmlp.forward(params, x)
    error = arithmetic.output_error(run.logits, y)
    exact = resmlp.hidden_gradients(params, run, error)
    rest = (x[:, :0], {}, ResMLP(SHAPE))
    return Trace(run.hiddens, run.logits, y, error, exact[-1], [], params, *rest), exact


def state_of(rule: Rule, one: RunSpec) -> State:
    drawn = rule.init(one, SHAPE, generator(one.seed, "feedback"))
    return {key: value.double() for key, value in drawn.items()}


def tail(trace: Trace, h: Tensor, layer: int) -> Tensor:
    """h_L reached from h_layer (..., d)."""
    for block in range(layer, trace.depth):
        h = trace.advance(h, block)
    return h
