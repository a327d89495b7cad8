"""What learned rules make of what they are shown: exact credit where their estimator is exact.

Legend: N batch, d width, L depth, P rows shown to the estimator in one step.
"""

from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from credit import rules
from credit.networks.by_hand import ResMLP
from credit.randomness import generator
from credit.rules import State, Trace
from credit.rules.credit_bridge import CreditBridge
from credit.rules.learned import LearnedRule, Rows, relative_error
from credit.rules.shared import estimator
from credit.rules.state_bridge import StateBridge
from credit.rules.vector_field import VectorField
from credit.training.stack import Stack
from tests.learned import NAMES, PHI, SHAPE, batches, spec, state_of, tail, trace_of, used_params
from tests.stacks import close, contents

KINDS = [{}, PHI]
X, Y = batches()[0][0]
N, L = len(X), SHAPE.depth


def estimator_of(state: State) -> dict[str, Tensor]:
    return {k.removeprefix("estimator/"): v for k, v in state.items() if k.startswith("estimator/")}


@dataclass(frozen=True)
class TrueState(StateBridge):
    """Its prediction of h_L is what the blocks would make of the state."""

    trace: Trace | None = None

    def predicted(self, params, h: Tensor, t: Tensor, s: Tensor) -> Tensor:
        assert self.trace is not None
        return torch.stack([tail(self.trace, state, layer) for layer, state in enumerate(h)])


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
@pytest.mark.parametrize("knowing", [TrueState, TrueLoss])
def test_a_bridge_that_knows_the_tail_gives_the_exact_gradient(knowing, kind):
    trace, exact = trace_of(used_params(kind), X, Y)
    rule = knowing(estimator_width=8, trace=trace)
    close(rule.credit(state_of(rule, spec("state_bridge")), trace), exact)


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
        return rule.loss(estimator_of(state), trace._replace(noise=noise), state)[1]

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


@pytest.mark.parametrize("kind", KINDS, ids=["gelu", "phi"])
def test_relative_slopes_are_per_step_of_the_length_of_the_state(kind):
    """And a field that has learned them gives the exact gradient, in its own units."""
    trace, exact = trace_of(used_params(kind), X, Y)
    rule = TrueField(field_eps=1e-4, estimator_relative=True, exact=torch.stack(exact))
    noise = rule.noise(SHAPE, N, generator(0, "test"))
    directions = noise["directions"].double()
    rows = rule.shown(trace, noise["order"])
    g = torch.stack(exact)[layers_of(rows), rows.samples]
    rms = rows.h.square().mean(-1).sqrt()
    torch.testing.assert_close(
        rule.slopes(trace, rows, directions), rms * (directions * g).sum(-1), rtol=1e-4, atol=1e-8
    )
    close(rule.credit({}, trace), exact)


@dataclass(frozen=True)
class TrueField(VectorField):
    """Its estimator has learned the exact gradient, in relative units."""

    exact: Tensor | None = None

    def field(self, params, h: Tensor, t: Tensor, s: Tensor) -> Tensor:
        assert self.exact is not None
        steps = self.exact * h.square().mean(-1, keepdim=True).sqrt()
        return steps / steps[-1].square().mean().sqrt()


def test_a_relative_state_bridge_predicts_in_units_of_the_last_state():
    """Scaling the output layer's weights by the unit makes the absolute bridge the same."""
    trace, _ = trace_of(used_params({}), X, Y)
    relative = StateBridge(estimator_width=8, estimator_relative=True)
    state = state_of(relative, spec("state_bridge"))
    unit = trace.hiddens[-1].square().mean().sqrt()
    scaled = {
        name: value * unit if name.startswith("estimator/out.") else value
        for name, value in state.items()
    }
    absolute = StateBridge(estimator_width=8)
    close(relative.credit(state, trace), absolute.credit(scaled, trace))
    noise = relative.noise(SHAPE, N, generator(0, "test"))
    close(
        relative.loss(estimator_of(state), trace._replace(noise=noise), state)[0],
        absolute.loss(estimator_of(scaled), trace._replace(noise=noise), scaled)[0],
    )


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
    trace = Trace(
        hiddens, empty, torch.arange(samples), empty, empty, [], {}, empty, {}, ResMLP(SHAPE)
    )
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


def test_a_target_of_nothing_teaches_nothing():
    """And leaves no gradient whose square is not finite."""
    for size in (0.0, 1e-20, 1e-13):
        wanted = torch.full((4, 3), size)
        found = torch.ones(4, 3, requires_grad=True)
        relative_error(found, wanted).backward()
        assert found.grad is not None
        assert not found.grad.any()
    wanted, found = torch.full((4, 3), 1e-6), torch.zeros(4, 3)
    assert relative_error(found, wanted).item() == pytest.approx(1)


@pytest.mark.parametrize("size", [1e-30, 1e-25, 1.0])
def test_the_code_of_a_gradient_has_its_direction_at_any_scale(size):
    """In float32, where squares of such numbers are 0."""
    trace, _ = trace_of(used_params({}), X, Y)
    grads = torch.randn(N, SHAPE.width, generator=generator(0, "test")).float()
    code = CreditBridge(code="deltaL").codes({}, trace._replace(grad_out=grads * size))
    assert torch.allclose(code, grads / grads.square().mean().sqrt(), rtol=1e-5)
