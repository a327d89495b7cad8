"""The published rules that do not learn, each by itself: feedback, bp and oracle, fa and dfa.

Legend: N batch, d width, C classes, L depth.
"""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from credit import rules
from credit.networks import resmlp
from credit.randomness import generator
from credit.training.stack import Stack
from tests import reference
from tests.reference import ResMLP
from tests.rules.cases import (
    DRAW,
    FIXED,
    SHAPE,
    WIDE,
    N,
    X,
    Y,
    batch,
    copies,
    exactly,
    held_out,
    new_state,
    spec,
    trace_of,
)
from tests.stacks import close, cosine, used_params

FEEDBACK = [n for n in FIXED if "feedback" in new_state(n)]


@pytest.mark.parametrize("name", [n for n in FIXED if n not in DRAW and not rules.get(n).follows])
def test_a_rule_that_does_not_learn_draws_and_changes_nothing(name):
    rule, one = rules.get(name), spec(name, estimator_lr=1.0)
    assert rule.noise(SHAPE, N, generator(0, "test")) == {}
    assert rule.refreshed(new_state(name)) == {}
    assert not any(rule.warm(epoch, 10) for epoch in range(10))
    stack = Stack([one], SHAPE)
    before = copies(stack.rule_state(0))
    for _ in range(3):
        stack.set_phase(0, 1)
        stack.step(X, Y)
    after = stack.rule_state(0)
    assert after.keys() == before.keys()
    assert all(exactly(after[key], before[key]) for key in before)
    assert stack.take_metrics() == [{}]


@pytest.mark.parametrize("name", [n for n in FEEDBACK if n != "drtp"])  # of labels alone
def test_feedback_is_drawn_once_and_for_all(name):
    """The same matrices before, during and after training, and under the measurements."""
    stack = Stack([spec(name, seed=3)], SHAPE)
    drawn = new_state(name, seed=3)["feedback"]
    assert exactly(stack.rule_state(0)["feedback"], drawn)
    before = held_out(stack)
    for seed in range(4):
        stack.step(*batch(seed=seed))
    assert exactly(stack.rule_state(0)["feedback"], drawn)
    credits = held_out(stack)
    assert not any(map(torch.equal, before, credits))
    params = {part: p[0] for part, p in stack.params.items()}
    seen = trace_of(rules.get(name), params, reduction="sum")  # measurements do not divide by N
    close([a[0] for a in credits], rules.get(name).credit({"feedback": drawn}, seen))


@pytest.mark.parametrize("name", FEEDBACK)
def test_a_seed_names_its_feedback(name):
    specs = [spec(name, seed=s, k=k) for s, k in ((1, 3), (2, 3), (1, 0))]
    stack = Stack(specs, SHAPE)
    first, other, again = (stack.rule_state(row)["feedback"] for row in range(3))
    assert torch.equal(first, again)
    assert cosine(first.flatten(), other.flatten()).abs() < 0.3
    single = Stack([s.replace(precision="fp32") for s in specs], SHAPE)
    assert torch.equal(single.rule_state(0)["feedback"].double(), first)


@pytest.mark.parametrize(("name", "columns"), [("fa", WIDE.width), ("dfa", WIDE.classes)])
def test_feedback_is_normal_with_variance_one_over_its_columns(name, columns):
    feedback = new_state(name, WIDE)["feedback"]
    assert feedback.shape == (WIDE.depth, WIDE.width, columns)
    sd = 1 / math.sqrt(feedback[0].numel())  # relative, of a mean or (roughly) a deviation
    for matrix in feedback:
        z = matrix * columns**0.5
        assert abs(z.mean()) < 4 * sd
        assert abs(z.std() - 1) < 3 * sd
        assert abs((z.abs() < 1).double().mean() - 0.6827) < 2 * sd
        assert z.abs().max() > 2.5
    for i in range(WIDE.depth):
        for j in range(i):
            assert cosine(feedback[i].flatten(), feedback[j].flatten()).abs() < 4 * sd


def test_bp_and_oracle_credit_is_the_gradient_by_autograd():
    params = used_params(SHAPE)
    exact = reference.hidden_gradients(ResMLP.from_params(params), X, Y)
    for name in ("bp", "oracle"):
        close(rules.get(name).credit({}, trace_of(rules.get(name), params)), exact)


def test_fa_and_dfa_credit_sample_by_sample():
    params = used_params(SHAPE)
    fa, dfa = rules.get("fa"), rules.get("dfa")
    error = ResMLP.from_params(params)(X).softmax(-1).detach() - F.one_hot(Y, SHAPE.classes)
    exact = reference.hidden_gradients(ResMLP.from_params(params), X, Y)

    matrices = new_state("dfa")["feedback"]
    credits = dfa.credit({"feedback": matrices}, trace_of(dfa, params))
    for level in range(SHAPE.depth + 1):
        for n in range(N):
            close(credits[level][n], matrices[min(level, SHAPE.depth - 1)] @ error[n])

    matrices = new_state("fa")["feedback"]
    credits = fa.credit({"feedback": matrices}, trace_of(fa, params))
    for n in range(N):
        expected = exact[-1][n]
        close(credits[-1][n], expected)
        for level in reversed(range(SHAPE.depth)):
            expected = matrices[level] @ expected
            close(credits[level][n], expected)


def jacobians(params: resmlp.Params, h: list[Tensor]) -> list[Tensor]:
    """∂h_{l+1}/∂h_l = I + ∂f_l/∂h_l at one sample's hidden states, (d, d) each, by autograd."""
    blocks = ResMLP.from_params(params).blocks
    return [
        torch.autograd.functional.jacobian(lambda v, block=block: v + block(v), state[0])
        for block, state in zip(blocks, h[:-1], strict=True)
    ]


def test_fa_with_the_transposed_jacobians_is_backprop():
    """One sample, so that one matrix per block is the whole Jacobian, skip connection included."""
    fa, params = rules.get("fa"), used_params(SHAPE)
    x, y = X[:1], Y[:1]
    trace = trace_of(fa, params, x, y)
    transposed = torch.stack([j.T for j in jacobians(params, trace.hiddens)])
    exact = reference.hidden_gradients(ResMLP.from_params(params), x, y)
    close(fa.credit({"feedback": transposed}, trace), exact)
    skipless = transposed - torch.eye(SHAPE.width, dtype=torch.float64)
    for other in (skipless, transposed.flip(0), transposed.mT):
        found = fa.credit({"feedback": other}, trace)
        assert (found[0] - exact[0]).norm() > 1e-3 * exact[0].norm()
