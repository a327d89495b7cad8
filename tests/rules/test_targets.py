"""Rules with targets or losses of their own: labels, readouts, learned inverses, a second pass."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from credit import rules
from credit.rules import Shape
from credit.rules.difference_target_propagation import inverse
from credit.training.stack import Stack
from tests import reference
from tests.reference import ResMLP
from tests.rules.cases import SHAPE, N, X, Y, new_state, spec, trace_of
from tests.rules.on_networks import NETWORKS, batch, run_of, shown, stack_of, steps
from tests.stacks import close, cosine, draw, used_params

# ---------------------------------------------------------------- drtp


def test_drtp_is_the_column_of_the_label_in_dfa_s_matrix():
    rule = rules.get("drtp")
    matrices = new_state("dfa")["feedback"]
    assert torch.equal(new_state("drtp")["feedback"], matrices)
    credits = rule.credit({"feedback": matrices}, trace_of(rule, used_params(SHAPE)))
    for level, a in enumerate(credits):
        for n in range(N):
            close(a[n], -matrices[min(level, SHAPE.depth - 1)][:, Y[n]])


# ---------------------------------------------------------------- local_loss


def test_local_loss_is_autograd_s_gradient_of_each_readout():
    params, rule, state = used_params(SHAPE), rules.get("local_loss"), new_state("local_loss")
    trace = trace_of(rule, params)
    credits = rule.credit(state, trace)
    assert torch.equal(credits[-1], trace.grad_out)
    grads, metrics = rule.gradients(state, trace)
    total = torch.zeros(())
    for layer, h in enumerate(trace.hiddens[:-1]):
        h = h.clone().requires_grad_()
        names = [f"estimator/{layer:03d}.{part}" for part in ("weight", "bias")]
        weight, bias = (state[name].clone().requires_grad_() for name in names)
        loss = F.cross_entropy(F.linear(h, weight, bias), Y)
        at_h, *at_readout = torch.autograd.grad(loss, [h, weight, bias])
        close(credits[layer], N * at_h)
        close([grads[name] for name in names], at_readout)
        total = total + loss.detach() / SHAPE.depth
    close(metrics["loss"], total.double())


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("rule", ["local_loss", "difference_target_propagation"])
def test_what_is_learned_beside_the_network_learns(rule, network):
    stack = stack_of(run_of(rule, network, lr=0.0, estimator_lr=0.01))
    x, y = batch()

    def loss_after(count: int) -> float:
        for _ in range(count):
            stack.set_phase(0, 1)
            stack.step(x, y)
        return stack.take_metrics()[0]["loss"]

    first = loss_after(1)
    loss_after(100)
    assert loss_after(1) < 0.5 * first


# ---------------------------------------------------------------- difference target propagation

DTP = rules.get("difference_target_propagation")


def test_targets_come_down_as_the_formula_says():
    params, state = used_params(SHAPE), new_state("difference_target_propagation")
    trace = trace_of(DTP, params)
    h, g = trace.hiddens, trace.grad_out

    def back(layer: int, v: Tensor) -> Tensor:
        inner, bias, out, offset = (
            state[f"estimator/{layer:03d}.{part}"] for part in ("inner", "bias", "out", "offset")
        )
        return torch.cat([v, F.gelu(v @ inner.T + bias)], -1) @ out.T + offset

    size = 0.1 * h[-1].square().mean().sqrt() / g.square().mean().sqrt()
    target = h[-1] - size * g
    credits = DTP.credit(state, trace)
    assert torch.equal(credits[-1], g)
    for layer in reversed(range(SHAPE.depth)):
        target = h[layer] + back(layer, target) - back(layer, h[layer + 1])
        close(credits[layer], (h[layer] - target) / size)


def test_inverses_learn_to_undo_noisy_blocks():
    params, one = used_params(SHAPE), spec("difference_target_propagation")
    state, model = new_state("difference_target_propagation"), ResMLP.from_params(params)
    (group,) = Stack([one], SHAPE).lanes[0].groups
    group.set_phase(0, 1, 0)
    noise = group.noise(N, 0)
    trace = trace_of(DTP, params)._replace(noise=noise)
    grads, metrics = DTP.gradients(state, trace)
    params_of = {key: value.clone().requires_grad_() for key, value in state.items()}
    loss = torch.zeros((), dtype=torch.float64)
    for layer, h in enumerate(trace.hiddens[:-1]):
        rms = h.square().mean(-1, keepdim=True).sqrt()
        noisy = h + 0.1 * rms * noise[f"{layer:03d}"]
        seen = (noisy + model.blocks[layer](noisy)).detach()
        found = inverse(params_of, trace.shape, layer, seen)
        loss = loss + (found - noisy).square().mean() / noisy.square().mean()
    loss.backward()
    close(metrics["loss"], loss.detach() / SHAPE.depth)
    for key, grad in grads.items():
        expected = params_of[key].grad
        assert expected is not None
        close(grad, expected)


LINEAR = {"width": 8, "depth": 2, "k": 2, "activation": "phi", "alpha": 0.0}


def test_in_a_linear_network_of_squares_credit_comes_to_be_the_inverse_of_the_way_back():
    """a_l = W^-1 a_{l+1}, where the gradient is W^T a_{l+1}: <a_l, g_l> = |a_{l+1}|^2 > 0."""
    one = run_of("difference_target_propagation", "mlp", **LINEAR, lr=0.0, estimator_lr=0.01)
    stack = stack_of(one)
    for block in range(2):
        weight = torch.linalg.qr(draw(8, 8, seed=block))[0] * (1 + 0.3 * draw(8, 1, seed=9).abs())
        stack.params[f"blocks.{block}.0.weight"][0] = weight
    before = [cosine(a, g).mean() for a, g in zip(*credits_of(stack), strict=True)]
    assert max(before[:-1]) < 0.5
    steps(stack, 600)
    found, exact = credits_of(stack)
    for layer in (1, 0):
        weight = stack.params[f"blocks.{layer}.0.weight"][0]
        by_inverse = found[layer + 1] @ torch.linalg.inv(weight).mT
        assert cosine(found[layer], by_inverse).min() > 0.95
        assert cosine(found[layer], exact[layer]).min() > 0.7


def credits_of(stack: Stack) -> tuple[list[Tensor], list[Tensor]]:
    trace, exact = shown(stack)
    return rules.of(stack.specs[0]).credit(stack.rule_state(0), trace), exact


def test_credit_is_the_same_whatever_the_scale_of_the_stream():
    """In float32, of linear inverses: g of 1e-9 does not vanish beside h of 1e5."""
    drawn = new_state("difference_target_propagation")
    half = torch.tensor([1.0] * SHAPE.width + [0.0] * SHAPE.width)
    state = {k: (v * half if k.endswith(".out") else v).float() for k, v in drawn.items()}
    trace = trace_of(DTP, used_params(SHAPE))
    credits = []
    for of_h, of_g in ((1.0, 1.0), (1e5, 1e-9)):
        hiddens, grad = [of_h * h.float() for h in trace.hiddens], of_g * trace.grad_out.float()
        credits.append(DTP.credit(state, trace._replace(hiddens=hiddens, grad_out=grad)))
    close(credits[0], [1e9 * b for b in credits[1]], rtol=1e-3, atol=1e-4)


# ---------------------------------------------------------------- pepita


def test_pepita_is_the_difference_to_a_pass_on_the_modulated_input():
    params, rule = used_params(SHAPE), rules.get("pepita")
    model, matrix = ResMLP.from_params(params), new_state("pepita")["feedback"]
    assert matrix.shape == (SHAPE.d_in, SHAPE.classes)
    error = model(X).softmax(-1).detach() - F.one_hot(Y, SHAPE.classes)
    moved = model.hiddens(X - error @ matrix.T)
    expected = [(h - other).detach() for h, other in zip(model.hiddens(X), moved, strict=True)]
    close(rule.credit({"feedback": matrix}, trace_of(rule, params)), expected, rtol=1e-8)


def test_pepita_s_feedback_is_small_and_its_scale_an_option():
    shape = Shape(3072, 16, 10, 2)
    drawn = [
        rules.get("pepita").configured(one).init(one, shape, torch.Generator().manual_seed(0))
        for one in (spec("pepita", shape), spec("pepita", shape, rule_option="scale=0.1"))
    ]
    sd = float(drawn[0]["feedback"].std())
    assert sd == pytest.approx(0.05 * (2 / 3072) ** 0.5, rel=0.02)
    close(drawn[1]["feedback"], 2 * drawn[0]["feedback"], rtol=1e-6)


def test_with_feedback_aligned_with_the_way_back_pepita_lowers_the_loss():
    """The source's sign: F e_T is a step of the input up the loss, and -a_l one down it."""
    params, rule = used_params(SHAPE), rules.get("pepita")
    trace, model = trace_of(rule, params), ResMLP.from_params(params)
    jacobian = torch.autograd.functional.jacobian(lambda x: model(x).mean(0), X)  # (C, N, D)
    aligned = 0.05 * N * jacobian.mean(1).mT
    exact = reference.hidden_gradients(model, X, Y)
    for a, g in zip(rule.credit({"feedback": aligned}, trace), exact, strict=True):
        assert (a * g).sum() > 0.2 * a.norm() * g.norm()
        assert cosine(a, g).mean() > 0.1
