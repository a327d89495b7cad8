"""Rules that pass errors back through other weights, against autograd with these weights."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from credit import rules
from credit.networks import resmlp
from credit.networks.base import Params
from credit.randomness import generator
from credit.rules import State
from credit.rules.shared import feedback
from credit.training.stack import Stack
from tests.reference import ResMLP
from tests.rules.cases import SHAPE, X, Y, new_params, new_state, spec, trace_of
from tests.rules.on_networks import NETWORKS, block_backward, run_of, shown, stack_of, steps
from tests.stacks import close, cosine, draw, used_params
from tests.traps import refused

WEIGHTS = [f"blocks.{b}.{m}.weight" for b in range(SHAPE.depth) for m in ("fc1", "fc2")]
RULES = ["sign_symmetric", "fa_layerwise", "kolen_pollack", "weight_mirror"]


class Replaced(torch.autograd.Function):
    """v W^T forward, g B backward."""

    @staticmethod
    def forward(ctx, v: Tensor, weight: Tensor, back: Tensor) -> Tensor:
        ctx.save_for_backward(back)
        return v @ weight.mT

    @staticmethod
    def backward(ctx, *grads: Tensor):
        return grads[0] @ ctx.saved_tensors[0], None, None


def by_autograd(params: Params, back: Params) -> list[Tensor]:
    """Gradients of the batch-mean loss at h_0 .. h_L, on the way back with other block weights."""
    h = F.linear(X, params["embed.weight"], params["embed.bias"]).requires_grad_()
    states = [h]
    for block in range(SHAPE.depth):
        g, b, _, b1, _, b2 = (params[name] for name in resmlp.block_names(block))
        w1, w2 = (f"blocks.{block}.{m}.weight" for m in ("fc1", "fc2"))
        z = Replaced.apply(F.layer_norm(states[-1], (SHAPE.width,), g, b), params[w1], back[w1])
        f = Replaced.apply(F.gelu(z + b1), params[w2], back[w2])
        states.append(states[-1] + f + b2)
    logits = ResMLP.from_params(params).head(states[-1])
    return list(torch.autograd.grad(F.cross_entropy(logits, Y), states))


@pytest.mark.parametrize("name", ["fa_layerwise", "kolen_pollack", "weight_mirror"])
def test_credit_is_autograd_s_with_the_feedback_in_place_of_the_weights(name):
    params, rule = used_params(SHAPE), rules.get(name)
    state = {feedback.OF + n: draw(8, 8, seed=i) for i, n in enumerate(WEIGHTS)}
    assert new_state(name).keys() == state.keys()
    expected = by_autograd(params, {n: state[feedback.OF + n] for n in WEIGHTS})
    close(rule.credit(state, trace_of(rule, params)), expected)


def magnitudes(option: str) -> tuple[list[Tensor], Params]:
    """A run's credit in its first step, and the feedback that it should have used."""
    one = spec("sign_symmetric", rule_option=f"magnitude={option}")
    stack, params = Stack([one], SHAPE), used_params(SHAPE)
    (group,) = stack.lanes[0].groups
    noise = group.noise(len(X), 0)
    sizes = {"uniform": {}, "batch": noise, "fixed": stack.rule_state(0)}[option]
    back = {}
    for name in WEIGHTS:
        signed = params[name].sign() * sizes.get(feedback.OF + name, torch.ones(8, 8)).abs()
        back[name] = signed * params[name].norm() / signed.norm()
    trace = trace_of(group.rule, params)._replace(noise=noise)
    return group.rule.credit(stack.rule_state(0), trace), back


@pytest.mark.parametrize("option", ["uniform", "batch", "fixed"])
def test_sign_symmetric_has_the_signs_of_the_weights_and_sizes_of_its_own(option):
    credits, back = magnitudes(option)
    close(credits, by_autograd(used_params(SHAPE), back))


def test_magnitudes_are_drawn_in_every_step_or_once():
    stacks = {
        o: Stack([spec("sign_symmetric", rule_option=f"magnitude={o}")], SHAPE)
        for o in ("uniform", "batch", "fixed")
    }
    (batch,) = stacks["batch"].lanes[0].groups
    first, again, later = (batch.noise(6, step) for step in (0, 0, 1))
    assert len(first) == len(WEIGHTS)
    for name, value in first.items():
        assert torch.equal(value, again[name]) and not torch.equal(value, later[name])
    assert not stacks["uniform"].rule_state(0)
    (fixed,) = stacks["fixed"].lanes[0].groups
    assert fixed.noise(6, 0) == {} and len(fixed.state) == len(WEIGHTS)


def test_an_option_that_is_no_magnitude_is_refused():
    refused(lambda: run_of("sign_symmetric", "resmlp", rule_option="magnitude=batches"), "'batch'")
    plain = run_of("sign_symmetric", "resmlp")
    same = run_of("sign_symmetric", "resmlp", rule_option="magnitude=uniform")
    other = run_of("sign_symmetric", "resmlp", rule_option="magnitude=fixed")
    assert plain.spec_hash == same.spec_hash != other.spec_hash


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("name", RULES)
def test_with_the_weights_themselves_it_is_backpropagation(name, network, monkeypatch):
    """On every network: nothing but the weights is replaced. And autograd agrees block by block."""
    stack = stack_of(run_of(name, network))
    trace, exact = shown(stack)
    rule, state = stack.lanes[0].groups[0].rule, stack.rule_state(0)
    credits = rule.credit(state, trace)
    assert (credits[0] - exact[0]).norm() > 1e-3 * exact[0].norm()
    own = {n: trace.weights[n] for b in range(trace.depth) for n in trace.network.matrices(b)}
    monkeypatch.setattr(type(rule), "replacements", lambda *args: own)
    credits = rule.credit(state, trace)
    for layer in reversed(range(trace.depth)):
        close(credits[layer], exact[layer], rtol=1e-7, atol=1e-12)
        above = credits[layer + 1]
        expected = block_backward(stack, trace.weights, layer, trace.hiddens[layer], above)
        close(credits[layer], expected, rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("network", NETWORKS)
def test_feedback_begins_as_the_weights_do(network):
    stack = stack_of(run_of("fa_layerwise", network, width=32))
    for name, b in feedback.by_weight(stack.rule_state(0)).items():
        weight = stack.params[name][0]
        assert b.shape == weight.shape and not torch.equal(b, weight)
        assert float(b.std() / weight.std()) == pytest.approx(1, rel=0.25), name


@pytest.mark.parametrize("network", ["resmlp", "small_cnn"])
def test_kolen_pollack_differs_from_its_weights_by_less_in_every_step(network):
    """By 1 - lr * weight_decay exactly; where nothing trains it stays as it is."""
    one = run_of("kolen_pollack", network, k=2, lr=0.1, weight_decay=0.2)
    stack = stack_of(one)
    trained = {n for b in (1, 2) for n in stack.network.matrices(b)}
    for step in range(3):
        before = feedback.by_weight({k: v.clone() for k, v in stack.rule_state(0).items()})
        weights = {name: p[0].clone() for name, p in stack.params.items()}
        steps(stack, 1, first=step)
        for name, b in feedback.by_weight(stack.rule_state(0)).items():
            if name in trained:
                close(b - stack.params[name][0], (1 - 0.02) * (before[name] - weights[name]))
                assert not torch.equal(b, before[name])
            else:
                assert torch.equal(b, before[name])


def test_kolen_pollack_follows_the_weights_as_they_are_in_bf16():
    """A step multiplies with rounded weights; the update is that of the unrounded ones."""
    stack = Stack([spec("kolen_pollack", precision="bf16", weight_decay=0.0)], SHAPE)
    names = [n for n in WEIGHTS if n.startswith("blocks.2")]
    apart = {n: stack.rule_state(0)[feedback.OF + n] - stack.params[n][0] for n in names}
    for _ in range(20):
        stack.step(X.float(), Y)
    for n in names:
        now = stack.rule_state(0)[feedback.OF + n] - stack.params[n][0]
        torch.testing.assert_close(now, apart[n], rtol=0, atol=1e-6)


@pytest.mark.parametrize("network", ["resmlp", "vit_mini", "small_resnet"])
def test_weight_mirrors_come_to_point_along_fixed_weights(network):
    """From nothing in common; the mean of what they learn from is the weight, in size, too."""
    stack = stack_of(run_of("weight_mirror", network, rule_option="rate=0.002"))
    rule, state, trace = rules.of(stack.specs[0]), stack.rule_state(0), shown(stack)[0]

    def followed(state: State, samples: int, seed: int) -> State:
        noise = rule.redrawn(state, samples, generator(seed, "test"))
        shown = trace._replace(noise={key: x.double() for key, x in noise.items()})
        return rule.followed(state, shown, trace.weights, torch.tensor(0.0))

    def alignment(state: State) -> Tensor:
        pairs = feedback.by_weight(state).items()
        return torch.stack([cosine(b.flatten(), trace.weights[n].flatten()) for n, b in pairs])

    for key, b in followed(state, 40_000, 0).items():
        learned_from = (b - 0.998 * state[key]) / 0.002
        weight = trace.weights[key.removeprefix(feedback.OF)]
        assert (learned_from - weight).norm() < 0.12 * weight.norm(), key
    assert alignment(state).abs().max() < 0.5
    for step in range(2500):
        state = followed(state, 64, step)
    assert alignment(state).min() > 0.9, alignment(state)


def test_mirrors_follow_in_training():
    stack = Stack([spec("weight_mirror", lr=1e-3, rule_option="rate=0.02")], SHAPE)
    for name, value in new_params().items():
        stack.params[name][0] = value
    for _ in range(300):
        stack.step(X, Y)
    for name, b in feedback.by_weight(stack.rule_state(0)).items():
        assert cosine(b.flatten(), stack.params[name][0].flatten()) > 0.7, name
