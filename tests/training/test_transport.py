"""What a rule's credit takes from the weights, measured on rules of which it is known."""

import pytest
import torch

from credit import rules
from credit.data import load
from credit.measures.base import Report
from credit.networks import kinds
from credit.rules import Rule, Trace
from credit.rules.base import TRANSPORTS
from credit.spec import RunSpec
from credit.sweep.sweep import resolve
from credit.training import transport
from credit.training.measuring import measure_held_out
from credit.training.stack import Stack, arrange
from tests.rules.cases import SHAPE, new_params, trace_of


class Exact(Rule):
    """The chain rule through the blocks, weights and all."""

    reads_weights = True

    def credit(self, state, trace: Trace):
        credits = [trace.grad_out]
        for layer in reversed(range(trace.depth)):
            credits.append(trace.pull(credits[-1], layer, self.feedback(trace, layer)))
        return credits[::-1]

    def feedback(self, trace: Trace, layer: int):
        return {}


class Signs(Exact):
    """Through the signs of the weights, of their size."""

    def feedback(self, trace: Trace, layer: int):
        return {
            name: w.sign() * w.square().mean((-2, -1), keepdim=True).sqrt()
            for name, w in trace.weights.items()
            if name in trace.network.matrices(layer)
        }


class Fixed(Exact):
    """Through matrices that never see the weights."""

    def feedback(self, trace: Trace, layer: int):
        names = trace.network.matrices(layer)
        return {n: torch.ones_like(trace.weights[n]) for n in names}


class Differentiates(Exact):
    """Autograd through the network's own forward passes."""

    def credit(self, state, trace: Trace):
        def loss(h, layer):
            return trace.losses_from(h, layer).sum()

        return [torch.func.grad(loss)(h, layer) for layer, h in enumerate(trace.hiddens)]


class Perturbs(Exact):
    """The loss along one direction, rolled forward: activity, not weights."""

    def credit(self, state, trace: Trace):
        def loss(h, layer):
            return trace.losses_from(h, layer)

        found = []
        for layer, h in enumerate(trace.hiddens):
            v = torch.ones_like(h)
            slope = torch.func.jvp(lambda h, at=layer: loss(h, at), (h,), (v,))[1]
            found.append(slope.unsqueeze(-1) * v)
        return found


@pytest.mark.parametrize(
    ("rule", "random", "signs", "crossed"),
    [
        (Exact(), True, True, False),
        (Signs(), True, False, False),
        (Fixed(), False, False, False),
        (Differentiates(), False, False, True),
        (Perturbs(), False, False, False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Rule) else "",
)
def test_replaced_weights_change_what_reads_them(rule, random, signs, crossed):
    trace = trace_of(rule, new_params())
    found = transport.changes(rule, {}, trace, seed=0)
    assert (found[0] > 1e-2) == random and (found[1] > 1e-3) == signs
    assert random or found[0] <= transport.SAME
    assert signs or found[1] <= transport.SAME
    assert found[2] == crossed


class Copies(Fixed):
    """Holds the weights as its feedback, and copies them after every step."""

    follows = True

    def init(self, spec, shape, generator):
        network = kinds.of(spec, shape, "cpu", torch.float64)
        return {
            n: w for n, w in network.init(spec, generator, torch.float64).items() if w.dim() > 1
        }

    def followed(self, state, trace: Trace, weights, decay):
        return {name: weights[name] for name in state if name in weights}

    def credit(self, state, trace: Trace):
        credits = [trace.grad_out]
        for layer in reversed(range(trace.depth)):
            own = {n: state[n] for n in trace.network.matrices(layer)}
            credits.append(trace.pull(credits[-1], layer, own))
        return credits[::-1]


def test_a_state_that_copies_the_weights_takes_them():
    rule, params = Copies(), new_params()
    state = {name: w for name, w in params.items() if w.dim() > 1 and name.startswith("blocks")}
    random, signs, crossed = transport.changes(rule, state, trace_of(rule, params), seed=0)
    assert random > 1e-2 and signs > 1e-3 and not crossed


@pytest.mark.parametrize(("gamma", "level"), [(1.0, "gradient"), (0.9, "weights")])
def test_the_gradient_itself_is_told_by_its_direction(gamma, level):
    rule = Exact()
    rows = [{"status": "ok", "alignment_mean": gamma} for _ in range(SHAPE.depth + 1)]
    found = transport.transported(
        rule, {}, trace_of(rule, new_params()), Report(layers=rows), seed=0
    )
    assert found["transport/level"] == TRANSPORTS.index(level)
    assert found["transport/declared"] == TRANSPORTS.index("weights")


@pytest.mark.parametrize("name", rules.available())
def test_every_rule_transports_what_it_declares(name):
    """Without skips: where branches begin at next to 0, they make any credit the gradient."""
    shared = {"width": 8, "depth": 3, "k": 3, "device": "cpu", "dataset": "digits"}
    shared |= {"network": "mlp", "activation": "tanh"}
    specs = [resolve(RunSpec(rule=name, seed=seed, **shared)) for seed in (1, 2)]
    known = {"bp": "gradient", "oracle": "gradient", "weight_mirror": "weights"}
    level = {**known, "sign_symmetric": "signs"}.get(name, "none")
    assert of_runs(specs) == [(float(TRANSPORTS.index(level)),) * 2] * 2


@pytest.mark.parametrize("network", kinds.available())
def test_every_run_of_a_stack_has_its_level(network):
    shared = {"width": 8, "depth": 3, "k": 3, "device": "cpu", "dataset": "digits"}
    shared |= {"network": network, "measure_samples": 32, "directions": 2}
    specs = [resolve(RunSpec(rule=name, **shared)) for name in ("bp", "oracle", "fa", "dfa")]
    assert of_runs(specs) == [(3.0, 3.0), (3.0, 3.0), (0.0, 0.0), (0.0, 0.0)]


def of_runs(specs: list[RunSpec]) -> list[tuple[float, float]]:
    """The level and what is declared, of each run in the order given."""
    stack = Stack(arrange(specs), kinds.shape_of(specs[0], (1, 8, 8), 10))
    reports = measure_held_out(stack, load("digits", "cpu"))
    for report in reports:  # of every kind of network
        assert 0.9999 < report.metrics["agreement/min"] <= 1
        assert report.metrics["valid/reference"] == 1
    by_hash = {
        spec.spec_hash: (r.metrics["transport/level"], r.metrics["transport/declared"])
        for spec, r in zip(stack.specs, reports, strict=True)
    }
    return [by_hash[spec.spec_hash] for spec in specs]
