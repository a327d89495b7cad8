"""One step on every rule's credit: what lands where, and the penalty beside it."""

import pytest
import torch

from credit.networks import resmlp
from credit.training.stack import Stack
from tests import reference
from tests.reference import ResMLP
from tests.rules.cases import (
    FIXED,
    NO_CLIP,
    SHAPE,
    SURROGATE,
    N,
    X,
    Y,
    exactly,
    new_state,
    one_run,
    spec,
    trace_of,
)
from tests.stacks import used_params


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


@pytest.mark.parametrize("name", SURROGATE)
@pytest.mark.parametrize("eps", [0.0, 1e-6])
def test_a_sample_without_error_has_no_credit_and_no_nan(name, eps):
    """But for credit that is learned from the hidden state, or a function of the label alone."""
    params = used_params(SHAPE)
    params["out_head.bias"][2] = 1e5
    grads = one_run(spec(name, credit_eps=eps), params, X, torch.full((N,), 2))
    for part, grad in grads.items():
        assert grad.isfinite().all(), part
        if (name in FIXED and name != "drtp") or part in resmlp.HEAD:
            assert torch.equal(grad, torch.zeros_like(grad)), part


@pytest.mark.parametrize("gap", [55.0, 60.0, 80.0])
def test_credit_without_eps_has_rms_one_in_float32_however_small_the_error(gap):
    """The squares of credits below 1e-23 underflow: an rms read as 0 would blow them up by 1e38."""
    stack = Stack([spec("dfa", precision="fp32", credit_eps=0)], SHAPE)
    stack.params["out_head.bias"][0, 2] = gap  # all samples are of class 2: errors about exp(-gap)
    stack.step(X.float(), torch.full((N,), 2))
    at_embed = stack.moments["embed.bias"][0][0] / (1 - 0.9)
    # All errors point the same way here, so their mean has the rms of each: 1.
    assert at_embed.square().mean().sqrt() == pytest.approx(1, rel=0.05)
