"""Learned rules: what they may not see, what they train, and that they learn."""

import pytest
import torch
from torch import Tensor
from torch.func import vmap

from credit import rules
from credit.networks import arithmetic, resmlp
from credit.randomness import generator
from credit.rules import Trace
from credit.rules.shared import estimator
from credit.rules.state_bridge import StateBridge
from credit.training.stack import Stack, arrange
from tests.learned import NAMES, PHI, SHAPE, batches, spec, state_of, tail, trace_of, used_params
from tests.rules.cases import Barrier
from tests.stacks import assert_same_bits, close, contents, cosine, train

X, Y = batches()[0][0]
N = len(X)
VARIANTS = [
    *[spec(name) for name in NAMES],
    spec("credit_bridge", code="deltaL_hL", sigma_relative=True, estimator_layers=0),
    spec("vector_field", one_sided=True, shuffle=True, estimator_layers=2, code="deltaL"),
    spec("state_bridge", code="eT_hL", warmup_ratio=0.5, estimator_every=2, **PHI),
    spec("vector_field", estimator_layers=0, **PHI),
]


def set_trap(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on, whatever gives a hidden gradient raises."""
    honest = resmlp.block_forward

    def trapped(params: resmlp.Params, block: int, h: Tensor) -> resmlp.BlockTrace:
        trace = honest(params, block, h)
        return trace._replace(out=Barrier.apply(trace.out))

    def refuse(*args):
        raise AssertionError("a hidden gradient was computed")

    monkeypatch.setattr(resmlp, "block_forward", trapped)
    monkeypatch.setattr(resmlp, "block_input_vjp", refuse)
    monkeypatch.setattr(resmlp, "hidden_gradients", refuse)


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

    def loss(self, params, trace: Trace, state) -> tuple[Tensor, dict[str, Tensor]]:
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


@pytest.mark.parametrize("one", VARIANTS, ids=lambda one: f"{one.rule} {one.code}")
@pytest.mark.usefixtures("no_global_generator")
def test_gradients_are_of_the_estimator_alone_pure_and_lifted(one):
    rule, trace = rules.of(one), trace_of(used_params({}), X, Y)[0]
    states = [state_of(rule, one.replace(seed=seed)) for seed in (1, 2)]
    draws = [rule.noise(SHAPE, N, generator(seed, "test")) for seed in (1, 2)]
    draws = [{k: v.double() if v.is_floating_point() else v for k, v in d.items()} for d in draws]
    before = {key: value.clone() for key, value in states[0].items()}
    grads, metrics = rule.gradients(states[0], trace._replace(noise=draws[0]))
    assert grads.keys() == {key for key in states[0] if key.startswith("estimator/")}
    assert all(grads[key].shape == states[0][key].shape for key in grads)
    assert all(value.dim() == 0 and value.isfinite() for value in metrics.values())
    assert all(grad.norm() > 0 for grad in grads.values())
    assert_same_bits(states[0], before)

    stacked = {key: torch.stack([s[key] for s in states]) for key in states[0]}
    noises = {key: torch.stack([d[key] for d in draws]) for key in draws[0]}

    def of_one(state, noise):
        return rule.gradients(state, trace._replace(noise=noise))

    lifted, _ = vmap(of_one)(stacked, noises)
    for row in range(2):
        alone, _ = rule.gradients(states[row], trace._replace(noise=draws[row]))
        for key, value in alone.items():
            close(lifted[key][row], value)


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
    run = resmlp.forward(stack.params, x)
    error = arithmetic.output_error(run.logits, labels)
    exact = resmlp.hidden_gradients(stack.params, run, error)
    credits = stack.measured_credits(run, X, labels, error, exact)
    cosines = torch.stack([cosine(a, g).mean(-1) for a, g in zip(credits, exact, strict=True)])
    for row, one in enumerate(stack.specs):
        if one.shuffle:
            assert cosines[:, row].abs().max() < 0.2, cosines
        else:
            assert cosines[:, row].min() > 0.9 and cosines[:, row].mean() > 0.95, cosines
    for name, value in contents(stack, 0).items():
        if name.startswith("param/"):
            assert torch.equal(value, fixed[name]), name
