"""One step on every rule's credit: what lands where, and the penalty beside it."""

import pytest
import torch
from torch import Tensor

from credit import rules
from credit.networks import resmlp
from credit.training.stack import Stack, arrange
from tests import reference
from tests.reference import ResMLP
from tests.rules.cases import (
    DRAW,
    FIXED,
    NO_CLIP,
    SHAPE,
    SURROGATE,
    N,
    X,
    Y,
    exactly,
    gradients,
    new_state,
    one_run,
    spec,
    trace_of,
)
from tests.stacks import used_params


@pytest.mark.parametrize("name", SURROGATE)
def test_the_surrogate_is_not_backprop_even_where_the_credit_is(name):
    stack = Stack(arrange([spec("bp"), spec(name)]), SHAPE)
    by_rule = dict(zip([s.rule for s in stack.specs], gradients(stack), strict=True))
    part = f"blocks.{SHAPE.depth - 1}.fc2.weight"
    exact = by_rule["bp"][part]
    assert (by_rule[name][part] - exact).norm() > 0.1 * exact.norm()


@pytest.mark.parametrize("name", SURROGATE)
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_block_l_trains_on_the_credit_that_the_rule_declares(name, rule, reduction):
    """Gradients of mean_n <f_l(h_l), norm(a_{l + block_credit})> and <embed(x), norm(a_0)>."""
    params = used_params(SHAPE)
    one = spec(name, clip=NO_CLIP, credit_eps=1e-3, credit_reduction=reduction)
    grads = one_run(one, params)

    state = new_state(name, seed=one.seed)
    credits = rule.credit(state, trace_of(rule, params, reduction=reduction))
    model = ResMLP.from_params(params)
    states = [h.detach() for h in model.hiddens(X)]
    for block in range(SHAPE.depth):
        landing = credits[block + rule.block_credit]
        output = model.blocks[block](states[block])
        reference.inner(output, reference.normalise(landing, one.credit_eps)).backward()
    reference.inner(model.embed(X), reference.normalise(credits[0], one.credit_eps)).backward()
    for part, p in model.named_parameters():
        if part not in resmlp.HEAD:
            assert p.grad is not None
            torch.testing.assert_close(grads[part], p.grad, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "reduction"),
    [
        (name, reduction)
        for name in FIXED
        for reduction in ("mean", "sum")
        if rules.get(name).surrogate and name not in DRAW
        if reduction == "sum" or not rules.get(name).per_sample
    ],
)
def test_showing_every_sample_twice_doubles_eps_at_most(name, reduction):
    """A rule of `mean` credit is a direction and a brake in one.

    norm(v) = v / (rms(v) + eps) and v ~ 1/N under `mean`: there, 2N samples act as eps twice as
    large. Under `sum`, and at eps = 0, they change nothing.
    """
    eps, params = 0.01, used_params(SHAPE)
    twice = torch.cat([X, X]), torch.cat([Y, Y])

    def at(eps: float, x: Tensor, y: Tensor) -> resmlp.Params:
        return one_run(
            spec(name, credit_eps=eps, credit_reduction=reduction, clip=NO_CLIP), params, x, y
        )

    doubled = at(eps, *twice)
    same = at(2 * eps if reduction == "mean" else eps, X, Y)
    other = at(eps if reduction == "mean" else 2 * eps, X, Y)
    for part, grad in doubled.items():
        torch.testing.assert_close(grad, same[part], rtol=1e-9, atol=1e-13)
        if part not in resmlp.HEAD:
            assert (grad - other[part]).norm() > 1e-4 * grad.norm(), part
    direction_only = at(0.0, X, Y)
    for part, grad in at(0.0, *twice).items():
        torch.testing.assert_close(grad, direction_only[part], rtol=1e-9, atol=1e-13)


def test_showing_every_sample_twice_changes_nothing_for_backprop():
    params = used_params(SHAPE)
    once = one_run(spec("bp"), params)
    for part, grad in one_run(spec("bp"), params, torch.cat([X, X]), torch.cat([Y, Y])).items():
        torch.testing.assert_close(grad, once[part], rtol=1e-10, atol=1e-14)


def test_lambda_zero_is_no_penalty_bit_for_bit(name):
    """Beside a penalised run the penalty's code runs for both, with λ = 0 for one of them."""
    free, penalised = spec(name), spec(name, penalty=0.5)
    alone, beside = Stack([free, free], SHAPE), Stack([free, penalised], SHAPE)
    for _ in range(3):
        alone.step(X, Y)
        beside.step(X, Y)
    for part in alone.params:
        assert exactly(alone.params[part][0], beside.params[part][0]), part
    assert not torch.equal(
        alone.params["blocks.0.fc2.weight"][1], beside.params["blocks.0.fc2.weight"][1]
    )


def test_the_penalty_keeps_residual_branches_small(name):
    stack = Stack([spec(name, lr=1e-2), spec(name, lr=1e-2, penalty=1.0)], SHAPE)
    for _ in range(100):
        stack.step(X, Y)
    branches = [b.out.norm(dim=-1).mean(-1) for b in resmlp.forward(stack.params, X).blocks]
    free, penalised = torch.stack(branches).sum(0)
    assert penalised < 0.5 * free


@pytest.mark.parametrize("name", SURROGATE)
@pytest.mark.parametrize("eps", [0.0, 1e-6])
def test_a_sample_without_error_has_no_credit_and_no_nan(name, eps):
    """Logits so far apart that the error is exactly 0 in every entry.

    Credit that is a learned function of the hidden state, or one of the label, need not vanish
    there.
    """
    params = used_params(SHAPE)
    params["out_head.bias"][2] = 1e5
    grads = one_run(spec(name, credit_eps=eps), params, X, torch.full((N,), 2))
    for part, grad in grads.items():
        assert grad.isfinite().all(), part
        if (name in FIXED and name != "drtp") or part in resmlp.HEAD:
            assert torch.equal(grad, torch.zeros_like(grad)), part


@pytest.mark.parametrize("gap", [55.0, 60.0, 80.0])
def test_credit_without_eps_has_rms_one_in_float32_however_small_the_error(gap):
    """The squares of credits below 1e-23 underflow: an rms read as 0 would blow them up by 1e38.

    One confidently classified sample would then outweigh its batch by 12 digits.
    """
    stack = Stack([spec("dfa", precision="fp32", credit_eps=0)], SHAPE)
    stack.params["out_head.bias"][0, 2] = gap  # all samples are of class 2: errors about exp(-gap)
    stack.step(X.float(), torch.full((N,), 2))
    at_embed = stack.moments["embed.bias"][0][0] / (1 - 0.9)
    # All errors point the same way here, so their mean has the rms of each: 1.
    assert at_embed.square().mean().sqrt() == pytest.approx(1, rel=0.05)
