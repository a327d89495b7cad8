"""The published rules that do not learn, each by itself: feedback, bp and oracle, fa and dfa.

Legend: N batch, d width, C classes, L depth.
"""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from credit import rules
from credit.networks import resmlp
from credit.randomness import generator
from credit.rules import Shape
from credit.training.stack import Stack
from tests import reference
from tests.reference import ResMLP
from tests.rules.cases import (
    DRAW,
    FIXED,
    NO_CLIP,
    SHAPE,
    WIDE,
    N,
    X,
    Y,
    assign,
    batch,
    copies,
    exactly,
    gradients,
    held_out,
    new_state,
    one_run,
    spec,
    trace_of,
)
from tests.stacks import close, cosine, draw, used_params

FEEDBACK = [n for n in FIXED if "feedback" in new_state(n)]


def test_the_rules_with_feedback_matrices():
    assert {"fa", "dfa"} <= set(FEEDBACK)


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
    for a, expected in zip(credits, rules.get(name).credit({"feedback": drawn}, seen), strict=True):
        close(a[0], expected)


@pytest.mark.parametrize("name", FEEDBACK)
def test_a_seed_names_its_feedback(name):
    seeds = (1, 2, 1)
    ks = (3, 3, 0)
    specs = [spec(name, seed=s, k=k) for s, k in zip(seeds, ks, strict=True)]
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


@pytest.mark.parametrize("k", range(SHAPE.depth + 1))
def test_bp_steps_along_the_gradient_of_the_whole_network(k):
    """Unclipped: `clip` is below every block's gradient norm here and changes nothing."""
    params = used_params(SHAPE)
    grads = one_run(spec("bp", k=k, clip=1e-6), params)
    model = ResMLP.from_params(params)
    F.cross_entropy(model(X), Y).backward()
    for part, p in model.named_parameters():
        assert p.grad is not None and p.grad.norm() > 1e-4
        frozen = part.startswith("blocks.") and int(part.split(".")[1]) < SHAPE.depth - k
        close(grads[part], torch.zeros_like(p) if frozen else p.grad)


def test_bp_and_oracle_credit_is_the_gradient_by_autograd():
    params = used_params(SHAPE)
    exact = reference.hidden_gradients(ResMLP.from_params(params), X, Y)
    for name in ("bp", "oracle"):
        credits = rules.get(name).credit({}, trace_of(rules.get(name), params))
        for a, g in zip(credits, exact, strict=True):
            close(a, g)


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
    model = ResMLP.from_params(params)
    blocks: list[Callable[[Tensor], Tensor]] = [
        lambda v, block=block: v + block(v) for block in model.blocks
    ]
    return [
        torch.autograd.functional.jacobian(block, state[0])
        for block, state in zip(blocks, h[:-1], strict=True)
    ]


def head_jacobian(params: resmlp.Params, h: Tensor) -> Tensor:
    """∂logits/∂h_L at one sample, (C, d)."""
    return torch.autograd.functional.jacobian(ResMLP.from_params(params).head, h)


def test_fa_with_the_transposed_jacobians_is_backprop():
    """One sample, so that one matrix per block is the whole Jacobian, skip connection included."""
    fa, params = rules.get("fa"), used_params(SHAPE)
    x, y = X[:1], Y[:1]
    trace = trace_of(fa, params, x, y)
    transposed = torch.stack([j.T for j in jacobians(params, trace.hiddens)])
    exact = reference.hidden_gradients(ResMLP.from_params(params), x, y)
    for a, g in zip(fa.credit({"feedback": transposed}, trace), exact, strict=True):
        close(a, g)
    skipless = transposed - torch.eye(SHAPE.width, dtype=torch.float64)
    without_skip = fa.credit({"feedback": skipless}, trace)
    assert (without_skip[0] - exact[0]).norm() > 0.1 * exact[0].norm()
    swapped = fa.credit({"feedback": transposed.flip(0)}, trace)
    assert (swapped[0] - exact[0]).norm() > 1e-3 * exact[0].norm()
    untransposed = fa.credit({"feedback": transposed.mT}, trace)
    assert (untransposed[0] - exact[0]).norm() > 1e-3 * exact[0].norm()


def test_fa_with_identity_feedback_is_backprop_where_the_branches_are_zero():
    """The other case in which one matrix serves every sample: f_l = 0, so each Jacobian is I."""
    fa, params = rules.get("fa"), used_params(SHAPE)
    params |= {n: torch.zeros_like(p) for n, p in params.items() if ".fc2." in n}
    identity = torch.eye(SHAPE.width, dtype=torch.float64).expand(SHAPE.depth, -1, -1)
    credits = fa.credit({"feedback": identity}, trace_of(fa, params))
    exact = reference.hidden_gradients(ResMLP.from_params(params), X, Y)
    for a, g in zip(credits, exact, strict=True):
        close(a, g)


ONE = Shape(SHAPE.d_in, SHAPE.width, SHAPE.classes, 1)
SAME_X, OTHER_Y = X[:1].expand(4, -1), torch.tensor([0, 1, 4, 2])
"""Samples with one h_L, hence one head Jacobian, and different errors."""


def matched_feedback(params: resmlp.Params) -> tuple[Tensor, Tensor]:
    """Fa's B_fa (1, d, d) and (∂logits/∂h_L)^T (1, d, C), at the h_L that all of SAME_X share."""
    to_head = head_jacobian(params, resmlp.forward(params, SAME_X).hiddens[-1][0])
    return new_state("fa", ONE)["feedback"], to_head.T[None]


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_with_one_block_fa_is_dfa_with_the_matched_feedback(reduction):
    """L = 1 and one h_L for all samples: a_0 agrees iff B_dfa = B_fa J^T, J = ∂logits/∂h_L."""
    fa, dfa, params = rules.get("fa"), rules.get("dfa"), used_params(ONE)
    feedback, to_head = matched_feedback(params)
    by_fa = fa.credit({"feedback": feedback}, trace_of(fa, params, SAME_X, OTHER_Y, reduction))
    seen = trace_of(dfa, params, SAME_X, OTHER_Y, reduction)
    by_dfa = dfa.credit({"feedback": feedback @ to_head}, seen)
    close(by_dfa[0], by_fa[0])
    assert (by_dfa[1] - by_fa[1]).norm() > 0.1 * by_fa[1].norm()  # dfa reads h_L with B_0 too
    close(dfa.credit({"feedback": to_head}, seen)[1], by_fa[1])


def test_with_one_block_matched_fa_and_dfa_train_alike():
    """The embedding where B_dfa = B_fa J^T, the block where B_dfa = J^T, both where B_fa = I."""
    params = used_params(ONE)
    feedback, to_head = matched_feedback(params)

    def grads(name: str, matrices: Tensor) -> resmlp.Params:
        stack = Stack([spec(name, ONE, credit_reduction="mean", credit_eps=1e-3)], ONE)
        assign(stack, params)
        stack.rule_state(0)["feedback"].copy_(matrices)
        return gradients(stack, SAME_X, OTHER_Y)[0]

    def agree(a: resmlp.Params, b: resmlp.Params, part: str) -> bool:
        return torch.allclose(a[part], b[part], rtol=1e-9, atol=1e-13)

    by_fa, as_embed, as_block = (
        grads("fa", feedback),
        grads("dfa", feedback @ to_head),
        grads("dfa", to_head),
    )
    for part in ("embed.weight", "embed.bias"):
        assert agree(by_fa, as_embed, part) and not agree(by_fa, as_block, part)
    for part in resmlp.block_names(0):
        assert agree(by_fa, as_block, part) and not agree(by_fa, as_embed, part)
    identity = torch.eye(ONE.width, dtype=torch.float64)[None]
    by_identity = grads("fa", identity)
    assert all(agree(by_identity, as_block, part) for part in params)


def test_dfa_block_l_trains_on_its_own_matrix_and_the_embedding_on_the_first():
    """fc2.bias sees sum_n norm(c_l) / N alone, which names the matrix that c_l came from."""
    params = used_params(SHAPE)
    stack = Stack([spec("dfa", clip=NO_CLIP)], SHAPE)
    assign(stack, params)
    matrices = draw(SHAPE.depth, SHAPE.width, SHAPE.classes, seed=5)
    stack.rule_state(0)["feedback"].copy_(matrices)
    grads = gradients(stack)[0]
    error = ResMLP.from_params(params)(X).softmax(-1).detach() - F.one_hot(Y, SHAPE.classes)
    for block, matrix in enumerate(matrices):
        expected = reference.normalise(error @ matrix.T, 1e-6).mean(0)
        close(grads[f"blocks.{block}.fc2.bias"], expected)
    close(grads["embed.bias"], reference.normalise(error @ matrices[0].T, 1e-6).mean(0))
