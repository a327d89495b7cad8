"""Transport: what a rule's credit takes from the network's weights, measured and not declared.

The weights that a rule is shown are replaced, while hidden states, logits and the gradient at h_L
stay. The credit takes

- nothing, if it stays the same under random weights;
- signs, if it stays the same under weights of other sizes and the same signs;
- the gradient, if it equals the exact one at every layer, if autograd brings it back through a
  block, or if the rule is shown exact gradients;
- weights, in every other case.

The network's own forward passes (`Trace.advance` and what builds on it) keep its weights: they
return activity. A rule that `follows` the weights follows the replaced ones for one step first, so
that a state which copies weights is seen.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from credit.measures import validity, vectors
from credit.measures.base import Report, fetched
from credit.networks.base import Network, Params
from credit.randomness import generator
from credit.rules import Rule, State, Trace
from credit.rules.base import TRANSPORTS

SAME = 1e-4
"""Relative change of a credit that counts as none: float32's rounding, with room to spare."""
EXACT = 0.999
"""Γ above which, at every layer that has one, credit is the gradient."""


def transported(
    rule: Rule, state: State, trace: Trace, report: Report, seed: int
) -> dict[str, float]:
    """Return the metrics `transport/...` of one run: the level, that declared, and the changes.

    Args:
        state, trace: of one run, without a run dimension.
        report: what has been measured of it.
    """
    random, signs, crossed = changes(rule, state, trace, seed)
    if not math.isfinite(random + signs):
        return {}
    gammas = [row["alignment_mean"] for row in report.layers if row["status"] == validity.OK]
    exact = bool(gammas) and all(gamma is not None and gamma > EXACT for gamma in gammas)
    level = "none" if random <= SAME else "signs" if signs <= SAME else "weights"
    if rule.reads_hidden_grads or crossed or (exact and level == "weights"):
        level = "gradient"  # a copy may be exact beside a skip: it takes nothing
    return {
        "transport/level": float(TRANSPORTS.index(level)),
        "transport/declared": float(TRANSPORTS.index(declared(rule))),
        "transport/random": random,
        "transport/signs": signs,
    }


def changes(rule: Rule, state: State, trace: Trace, seed: int) -> tuple[float, float, bool]:
    """Return how much the credit changes under random weights, under others of the same signs.

    Relative, the largest over layers. And whether autograd has gone back through a block.
    """
    source = generator(seed, "transport")
    crossed: list[bool] = []
    credits = []
    for change in (_kept, _randomised, _resized):
        weights = {name: change(weight, source) for name, weight in trace.weights.items()}
        network: Any = Shielded(trace.network, trace.weights, weights, crossed)
        shown = trace._replace(weights=weights, network=network)
        carried = state
        if rule.follows:  # what the state learns from weights is taken from them, too
            decay = torch.zeros((), dtype=trace.error.dtype, device=trace.error.device)
            carried = {**state, **rule.followed(state, shown, weights, decay)}
        credits.append(rule.credit(carried, shown))
    before, *others = credits
    found = fetched([list(map(_change, before, other)) for other in others])
    return max(found[0]), max(found[1]), bool(crossed)


def _change(before: Tensor, after: Tensor) -> Tensor:
    size = vectors.median(vectors.norm(before)).clamp(min=torch.finfo(torch.float64).tiny)
    return vectors.median(vectors.norm(after - before)) / size


def _kept(weight: Tensor, source: torch.Generator) -> Tensor:
    return weight


def _randomised(weight: Tensor, source: torch.Generator) -> Tensor:
    """A weight of the same size drawn anew; vectors, such as biases, stay."""
    if weight.dim() < 2:
        return weight
    return _scaled(torch.randn(weight.shape, generator=source).to(weight), weight)


def _resized(weight: Tensor, source: torch.Generator) -> Tensor:
    """A weight of the same signs and size, its entries multiplied by random positive factors."""
    if weight.dim() < 2:
        return weight
    factors = torch.rand(weight.shape, generator=source).to(weight) + 0.1
    return _scaled(weight * factors, weight)


def _scaled(drawn: Tensor, weight: Tensor) -> Tensor:
    return drawn * (weight.square().mean() / drawn.square().mean()).sqrt()


class Shielded:
    """A network whose forward passes keep its weights, whatever the rule is shown.

    Args:
        true: the weights of one run.
        shown: what the rule is shown instead; `pull` sends credit back through these.
        crossed: gets an entry when autograd goes back through a block.
    """

    def __init__(
        self, network: Network[Any], true: Params, shown: Params, crossed: list[bool]
    ) -> None:
        self._network, self._true, self._shown = network, true, shown
        self._watched = _watch(crossed)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._network, name)

    def embed(self, _: Params, x: Tensor) -> Tensor:
        return self._network.embed(self._true, x)

    def advance(self, _: Params, h: Tensor, block: int) -> Tensor:
        return self._watched(self._network.advance(self._true, h, block))

    def head(self, _: Params, h: Tensor) -> Tensor:
        return self._network.head(self._true, h)

    def tail(self, params: Params, h: Tensor, start: int) -> Tensor:
        for block in range(start, self._network.depth):
            h = self.advance(params, h, block)
        return self.head(params, h)

    def pull(self, _: Params, h: Tensor, block: int, cotangent: Tensor, feedback: Params) -> Tensor:
        shown = {name: self._shown[name] for name in self._network.matrices(block)}
        return self._network.pull(self._true, h, block, cotangent, {**shown, **feedback})


def _watch(crossed: list[bool]) -> Callable[[Tensor], Tensor]:
    """Return the identity, which notes that a gradient has gone back through it."""

    class Watch(torch.autograd.Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(out: Tensor) -> Tensor:
            return out.clone()

        @staticmethod
        def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
            pass

        @staticmethod
        def backward(ctx: Any, *grads: Tensor) -> Tensor:
            crossed.append(True)
            return grads[0]

        @staticmethod
        def jvp(ctx: Any, *tangents: Tensor) -> Tensor:
            return tangents[0].clone()

    return lambda out: Watch.apply(out)  # pyright: ignore[reportReturnType]


def declared(rule: Rule) -> str:
    """Return what a rule says that it transports, one of TRANSPORTS."""
    if rule.transports:
        return rule.transports
    if rule.reads_hidden_grads:
        return "gradient"
    return "weights" if rule.reads_weights or rule.reads_input else "none"
