"""Learned rules by themselves: what they may see, and what their credit is when they know all.

Legend: N batch, d width, L depth, P rows shown to the estimator in one step.
"""

from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.func import vmap

from credit import estimator, network, rules
from credit.randomness import generator
from credit.rules import Rule, Trace
from credit.rules.credit_bridge import CreditBridge
from credit.rules.learned import LearnedRule, Rows
from credit.rules.state_bridge import StateBridge
from credit.rules.vector_field import VectorField
from credit.training.stack import Stack, arrange
from tests.learned import (
    NAMES,
    PHI,
    SHAPE,
    assert_same_bits,
    batches,
    contents,
    cosine,
    spec,
    state_of,
    trace_of,
    train,
    used_params,
)

KINDS = [{}, PHI]
X, Y = batches()[0][0]
N, L = len(X), SHAPE.depth
VARIANTS = [
    *[spec(name) for name in NAMES],
    spec("credit_bridge", code="deltaL_hL", sigma_relative=True, estimator_layers=0),
    spec("vector_field", one_sided=True, shuffle=True, estimator_layers=2, code="deltaL"),
    spec("state_bridge", code="eT_hL", warmup_ratio=0.5, estimator_every=2, **PHI),
    spec("vector_field", estimator_layers=0, **PHI),
]


def tail(trace: Trace, h: Tensor, layer: int) -> Tensor:
    """h_L reached from h_layer (..., d)."""
    for block in range(layer, trace.depth):
        h = trace.advance(h, block)
    return h


def close(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-13)


# ------------------------------------------------------------------ no hidden gradient


class Trap(torch.autograd.Function):
    """The identity forward; no gradient gets back through it, lifted or not."""

    generate_vmap_rule = True

    @staticmethod
    def forward(out: Tensor) -> Tensor:
        return out.clone()

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        pass

    @staticmethod
    def backward(ctx, *grads: Tensor) -> Tensor:
        raise AssertionError("autograd went back through a block")


def set_trap(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on, whatever gives a hidden gradient raises."""
    honest = network.block_forward

    def trapped(params: network.Params, block: int, h: Tensor) -> network.BlockTrace:
        trace = honest(params, block, h)
        return trace._replace(out=Trap.apply(trace.out))

    def refuse(*args):
        raise AssertionError("a hidden gradient was computed")

    monkeypatch.setattr(network, "block_forward", trapped)
    monkeypatch.setattr(network, "block_input_vjp", refuse)
    monkeypatch.setattr(network, "hidden_gradients", refuse)


@pytest.mark.parametrize("one", VARIANTS, ids=lambda one: f"{one.rule} {one.code}")
def test_training_needs_no_gradient_through_a_block(one, monkeypatch):
    """And is the same, bit for bit, where there is none to be had."""
    free = contents(train(Stack([one], SHAPE), batches()))
    set_trap(monkeypatch)
    trapped = contents(train(Stack([one], SHAPE), batches()))
    assert_same_bits(trapped, free)


class CheatsInCredit(StateBridge):
    """Knows the true tail map, and goes back through it."""

    def credit(self, state, trace: Trace) -> list[Tensor]:
        def loss(h: Tensor, layer: int) -> Tensor:
            return trace.output_losses(tail(trace, h, layer), trace.labels).sum()

        return [torch.func.grad(loss)(h, layer) for layer, h in enumerate(trace.hiddens)]


class CheatsInLoss(StateBridge):
    """Matches its credit to the true gradient at h_0."""

    def loss(self, params, trace: Trace, noise, state) -> tuple[Tensor, dict[str, Tensor]]:
        def loss(h: Tensor) -> Tensor:
            return trace.output_losses(tail(trace, h, 0), trace.labels).sum()

        wanted = torch.func.grad(loss)(trace.hiddens[0])
        end = estimator.time_features(trace.depth, wanted)[:1]
        found = estimator.apply(params, trace.hiddens[0], end, self.codes(params, trace))
        return (found - wanted).square().mean(), {}


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("oracle", "hidden gradient was computed"),
        (f"{__name__}:CheatsInCredit", "back through a block"),
        (f"{__name__}:CheatsInLoss", "back through a block"),
    ],
)
def test_the_trap_catches_what_needs_one(rule, message, monkeypatch):
    one = spec(rule)
    train(Stack([one], SHAPE), batches(epochs=1))
    set_trap(monkeypatch)
    with pytest.raises(AssertionError, match=message):
        train(Stack([one], SHAPE), batches(epochs=1))


@pytest.mark.parametrize("name", NAMES)
def test_a_learned_rule_is_local_and_is_shown_no_gradient(name, monkeypatch):
    """In a stack beside bp and oracle, where the gradients are there to be had."""
    rule, seen = rules.get(name), []
    honest = LearnedRule.codes

    def spy(self, params, trace: Trace) -> Tensor:
        seen.append(trace.hidden_grads)
        assert not any(part.requires_grad for part in (*trace.hiddens, trace.logits))
        return honest(self, params, trace)

    monkeypatch.setattr(LearnedRule, "codes", spy)
    train(Stack(arrange([spec("bp"), spec("oracle"), spec(name)]), SHAPE), batches(epochs=1))
    assert seen and not any(seen)
    assert rule.local and rule.learned and not rule.reads_hidden_grads


# ------------------------------------------------------------------ what a learned rule learns


@pytest.mark.parametrize("one", VARIANTS, ids=lambda one: f"{one.rule} {one.code}")
@pytest.mark.usefixtures("no_global_generator")
def test_gradients_are_of_the_estimator_alone_pure_and_lifted(one):
    rule, trace = rules.of(one), trace_of(used_params({}), X, Y)[0]
    states = [state_of(rule, one.replace(seed=seed)) for seed in (1, 2)]
    draws = [rule.noise(SHAPE, N, generator(seed, "test")) for seed in (1, 2)]
    draws = [{k: v.double() if v.is_floating_point() else v for k, v in d.items()} for d in draws]
    before = {key: value.clone() for key, value in states[0].items()}
    grads, metrics = rule.gradients(states[0], trace, draws[0])
    assert grads.keys() == {key for key in states[0] if key.startswith("estimator/")}
    assert all(grads[key].shape == states[0][key].shape for key in grads)
    assert all(value.dim() == 0 and value.isfinite() for value in metrics.values())
    assert all(grad.norm() > 0 for grad in grads.values())
    assert_same_bits(states[0], before)

    stacked = {key: torch.stack([s[key] for s in states]) for key in states[0]}
    noises = {key: torch.stack([d[key] for d in draws]) for key in draws[0]}
    lifted, _ = vmap(rule.gradients, in_dims=(0, None, 0))(stacked, trace, noises)
    for row in range(2):
        alone, _ = rule.gradients(states[row], trace, draws[row])
        for key, value in alone.items():
            close(lifted[key][row], value)


# ------------------------------------------------------------------ knowing all


@dataclass(frozen=True)
class TrueState(StateBridge):
    """Its prediction of h_L is what the blocks would make of the state."""

    trace: Trace | None = None

    def predicted(self, params, h: Tensor, t: Tensor, s: Tensor) -> Tensor:
        assert self.trace is not None
        return torch.stack([tail(self.trace, state, layer) for layer, state in enumerate(h)])


@pytest.mark.parametrize("kind", KINDS, ids=["gelu", "phi"])
def test_a_state_bridge_that_knows_the_tail_gives_the_exact_gradient(kind):
    trace, exact = trace_of(used_params(kind), X, Y)
    rule = TrueState(estimator_width=8, trace=trace)
    credits = rule.credit(state_of(rule, spec("state_bridge")), trace)
    for a, g in zip(credits, exact, strict=True):
        close(a, g)


@dataclass(frozen=True)
class TrueLoss(CreditBridge):
    """Its value is the loss that the blocks would make of the state."""

    trace: Trace | None = None

    def value(self, params, h: Tensor, t: Tensor, s: Tensor) -> Tensor:
        assert self.trace is not None
        trace, layers = self.trace, estimator.time_features(L, h)
        t = t.expand(*h.shape[-t.dim() : -1], -1)  # a layer for every row
        losses = []
        for layer in range(L + 1):  # every row from every layer; keep the one it is at
            at = torch.isclose(t, layers[layer], atol=1e-9).all(-1)
            rows = tail(trace, h, layer)
            labels = self.labels(rows)
            loss = trace.output_losses(rows.flatten(0, -2), labels.flatten()).view(labels.shape)
            losses.append(torch.where(at, loss, 0.0))
        return torch.stack(losses).sum(0)

    def labels(self, rows: Tensor) -> Tensor:
        assert self.trace is not None
        return self.trace.labels.expand(rows.shape[:-1])


@pytest.mark.parametrize("kind", KINDS, ids=["gelu", "phi"])
def test_a_credit_bridge_that_knows_the_loss_gives_the_exact_gradient(kind):
    trace, exact = trace_of(used_params(kind), X, Y)
    rule = TrueLoss(estimator_width=8, trace=trace)
    credits = rule.credit(state_of(rule, spec("credit_bridge")), trace)
    for a, g in zip(credits, exact, strict=True):
        close(a, g)


def test_a_credit_bridge_that_knows_the_loss_has_nothing_to_learn():
    """Without noise around the successor; with it, the soft minimum lies elsewhere."""
    same = torch.full_like(Y, 2)  # one label, so that a row's label does not need its sample
    trace, _ = trace_of(used_params({}), X, same)
    trace = trace._replace(labels=same)

    def parts(sigma: float) -> dict[str, Tensor]:
        rule = OneLabel(estimator_width=8, estimator_layers=0, sigma=sigma, trace=trace)
        noise = rule.noise(SHAPE, N, generator(0, "test"))
        noise = noise | {"successors": noise["successors"].double()}
        state = state_of(rule, spec("credit_bridge"))
        params = {k.removeprefix("estimator/"): v for k, v in state.items() if "estimator" in k}
        return rule.loss(params, trace, noise, state)[1]

    for name, value in parts(0.0).items():
        assert value < 1e-20, name
    assert parts(0.5)["consistency"] > 1e-4
    assert parts(0.5)["terminal"] < 1e-20


class OneLabel(TrueLoss):
    """All samples are of one class."""

    def labels(self, rows: Tensor) -> Tensor:
        assert self.trace is not None
        return self.trace.labels[:1].expand(rows.shape[:-1])


@pytest.mark.parametrize("kind", KINDS, ids=["gelu", "phi"])
@pytest.mark.parametrize("layers", [1, 2, 0])
@pytest.mark.parametrize(("one_sided", "order"), [(False, 2), (True, 1)])
def test_slopes_are_products_with_the_exact_gradient(kind, layers, one_sided, order):
    """To the order of the difference taken: half the step, a half or a quarter of the error."""
    trace, exact = trace_of(used_params(kind), X, Y)
    errors = []
    for eps in (2e-3, 1e-3):
        rule = VectorField(
            field_directions=3, field_eps=eps, one_sided=one_sided, estimator_layers=layers
        )
        noise = rule.noise(SHAPE, N, generator(0, "test"))
        directions = noise["directions"].double()
        rows = rule.shown(trace, noise["order"])
        g = torch.stack(exact)[layers_of(rows), rows.samples]
        wanted = (directions * g).sum(-1)
        found = rule.slopes(trace, rows, directions)
        assert found.shape == wanted.shape == (3, N * (layers or L))
        errors.append((found - wanted).abs().max() / wanted.abs().max())
    assert errors[1] < (1e-4 if order == 2 else 1e-2)
    assert errors[0] / errors[1] == pytest.approx(2**order, rel=0.1)


# ------------------------------------------------------------------ which rows a step shows


def layers_of(rows: Rows) -> Tensor:
    return torch.repeat_interleave(torch.arange(len(rows.counts)), torch.tensor(rows.counts))


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 12), st.integers(0, 14), st.integers(0, 99))
def test_every_sample_is_shown_at_as_many_layers_as_asked_for(samples, depth, layers, seed):
    hiddens = [
        torch.stack([torch.arange(samples) + 0.0, torch.full((samples,), float(layer))], dim=-1)
        for layer in range(depth + 1)
    ]
    empty = torch.empty(0)
    trace = Trace(hiddens, empty, torch.arange(samples), empty, empty, [], {})
    order = torch.randperm(samples, generator=generator(seed, "test"))
    rows = LearnedRule(estimator_layers=layers).shown(trace, order)
    times = min(layers or depth, depth)

    at = layers_of(rows)
    assert len(rows.counts) == depth and len(rows.h) == len(at) == samples * times
    assert torch.equal(rows.h[:, 0].long(), rows.samples)  # the state is the sample's own
    assert torch.equal(rows.h[:, 1].long(), at)  # and of the layer that its place says
    torch.testing.assert_close(rows.t, estimator.time_features(depth, rows.h)[at])
    assert torch.equal(rows.samples.bincount(minlength=samples), torch.full((samples,), times))
    assert len({*zip(at.tolist(), rows.samples.tolist(), strict=True)}) == len(at)  # none twice
    assert max(rows.counts) - min(rows.counts) <= min(times, depth - times)
    if samples % depth == 0:
        assert set(rows.counts) == {samples * times // depth}
    other = LearnedRule(estimator_layers=layers).shown(trace, order.flip(0))
    assert len(other.h) == len(rows.h) and other.counts == rows.counts  # shapes are fixed


@pytest.mark.parametrize("name", NAMES)
def test_over_the_steps_every_sample_is_shown_at_every_layer(name):
    rule, trace = rules.of(spec(name)), trace_of(used_params({}), X, Y)[0]
    met = set()
    for step in range(60):
        order = rule.noise(SHAPE, N, generator(step, "test"))["order"]
        rows = rule.shown(trace, order)
        met |= {*zip(layers_of(rows).tolist(), rows.samples.tolist(), strict=True)}
    assert len(met) == N * L


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("layers", [0, 1, 2, 9])
@pytest.mark.parametrize("samples", [1, 2, N])
def test_a_batch_smaller_than_the_depth_teaches_too(name, layers, samples):
    one = spec(name, estimator_layers=layers, shuffle=True)
    stack = Stack([one], SHAPE)
    before = contents(stack)
    stack.set_phase(0, 1)
    stack.step(X[:samples], Y[:samples])
    after = contents(stack)
    for key, value in after.items():
        assert value.isfinite().all(), key
        if key.startswith("state/estimator/"):
            assert not torch.equal(value, before[key]), key


# ------------------------------------------------------------------ it learns


def test_the_vector_field_finds_the_gradient_and_shuffled_targets_do_not():
    """Of a fixed network without tanh or GELU; only the estimators train."""
    kind = {"activation": "phi", "alpha": 0.0, "terminal_norm": False}
    still = {"lr": 0.0, "estimator_lr": 0.01, "estimator_width": 32, "estimator_layers": 0}
    honest = spec("vector_field", field_directions=4, **kind, **still)
    stack = Stack(arrange([honest, honest.replace(shuffle=True, terminal_weight=0.0)]), SHAPE)
    for name, value in used_params(kind, alpha=0.0, spread=0.1).items():
        stack.params[name][:] = value
    fixed = contents(stack, 0)
    source = generator(0, "test data")

    def drawn(samples: int) -> tuple[Tensor, Tensor]:
        x = torch.randn(samples, SHAPE.d_in, generator=source, dtype=torch.float64)
        return x, torch.randint(SHAPE.classes, (samples,), generator=source)

    for _ in range(200):
        stack.set_phase(0, 1)
        stack.step(*drawn(64))
    x, y = drawn(200)
    labels = y.expand(2, -1)
    run = network.forward(stack.params, x)
    error = network.output_error(run.logits, labels)
    exact = network.hidden_gradients(stack.params, run, error)
    credits = stack.measured_credits(run, labels, error, exact[-1], exact)
    cosines = torch.stack([cosine(a, g).mean(-1) for a, g in zip(credits, exact, strict=True)])
    for row, one in enumerate(stack.specs):
        if one.shuffle:
            assert cosines[:, row].abs().max() < 0.2, cosines
        else:
            assert cosines[:, row].min() > 0.9 and cosines[:, row].mean() > 0.95, cosines
    for name, value in contents(stack, 0).items():
        if name.startswith("param/"):
            assert torch.equal(value, fixed[name]), name


def test_a_learned_rule_is_no_other_rule_with_another_name():
    """Each gives its own credit from one state of the network."""
    trace, _ = trace_of(used_params({}), X, Y)
    found = {name: rules.of(spec(name)).credit(*_first(name, trace))[1] for name in NAMES}
    for name, a in found.items():
        for other in NAMES:
            if other != name:
                assert cosine(a, found[other]).mean().abs() < 0.9


def _first(name: str, trace: Trace) -> tuple[rules.State, Trace]:
    one = spec(name)
    rule: Rule = rules.of(one)
    return state_of(rule, one), trace
