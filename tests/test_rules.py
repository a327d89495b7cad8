"""Conformance of credit rules: every rule file keeps the contract and is what it says of itself.

`NAMES` is what the package holds, so a new rule file is tested without an edit here, and what the
environment variable CREDIT_RULES names (package.module:Rule, comma-separated). After that, each
published rule by itself. Legend: N batch, d width, C classes, D input units, L depth.
"""

import math
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.func import vmap
from torch.nn import functional as F
from torch.utils._pytree import tree_map

from credit import rules
from credit.errors import CreditError
from credit.networks import resmlp
from credit.randomness import generator
from credit.rules import Rule, Shape, State, Trace
from credit.spec import RunSpec
from credit.training.stack import Stack, arrange
from tests import reference
from tests.reference import ResMLP

YOURS = [name for name in os.environ.get("CREDIT_RULES", "").split(",") if name]
NAMES = [*rules.available(), *YOURS]
LOCAL = [name for name in NAMES if rules.get(name).local]
FIXED = [name for name in NAMES if not rules.get(name).learned]
SURROGATE = [name for name in NAMES if rules.get(name).surrogate]

SHAPE = Shape(9, 8, 5, 3)  # D, d, C, L
WIDE = Shape(24, 128, 10, 4)  # where a random direction is nearly orthogonal to a given one
N = 6
NO_CLIP = 1e30


def spec(rule: str, shape: Shape = SHAPE, **changes) -> RunSpec:
    """A float64 run on the CPU, all blocks trainable, its reduction resolved as a sweep would."""
    base = {
        "rule": rule,
        "width": shape.width,
        "depth": shape.depth,
        "k": shape.depth,
        "device": "cpu",
        "precision": "fp64",
        "credit_reduction": rules.get(rule).published_reduction,
    }
    return RunSpec(**{**base, **changes})


def draw(*size: int, seed: int = 0) -> Tensor:
    return torch.randn(*size, generator=generator(seed, "test"), dtype=torch.float64)


def batch(shape: Shape = SHAPE, n: int = N, seed: int = 0) -> tuple[Tensor, Tensor]:
    labels = torch.randint(shape.classes, (n,), generator=generator(seed, "test labels"))
    return draw(n, shape.d_in, seed=seed), labels


X, Y = batch()


def new_params(shape: Shape = SHAPE, seed: int = 0) -> resmlp.Params:
    """As a run begins."""
    return resmlp.init(*shape, generator(seed, "init"), torch.float64)


def used_params(shape: Shape = SHAPE, seed: int = 0) -> resmlp.Params:
    """Far from initialisation: no term is small, none is exactly 0 or 1."""
    source = generator(seed, "test noise")
    return {
        name: p + 0.3 * torch.randn(p.shape, generator=source, dtype=torch.float64)
        for name, p in new_params(shape, seed).items()
    }


def new_state(rule: Rule, shape: Shape = SHAPE, seed: int = 0, **changes) -> State:
    """The rule's state before training, in the trainer's precision."""
    name = next(n for n in NAMES if rules.get(n) == rule)
    state = rule.init(spec(name, shape, **changes), shape, generator(seed, "feedback"))
    return {key: value.double() for key, value in state.items()}


def trace_of(
    rule: Rule,
    params: resmlp.Params,
    x: Tensor = X,
    y: Tensor = Y,
    reduction: str | None = None,
) -> Trace:
    """What one step of the trainer shows `rule`; the reduction is the rule's own unless given."""
    run = resmlp.forward(params, x)
    error = resmlp.output_error(run.logits, y)
    if (reduction or rule.published_reduction) == "mean":
        error = error / len(x)
    return Trace(
        hiddens=run.hiddens,
        logits=run.logits,
        labels=y,
        error=error,
        grad_out=resmlp.head_input_vjp(params, run.last, error),
        hidden_grads=resmlp.hidden_gradients(params, run, error) if rule.reads_hidden_grads else [],
        weights=params if rule.learned or rule.reads_weights else {},
    )


def assign(stack: Stack, params: resmlp.Params, row: int = 0) -> None:
    """Give one run of a stack other parameters."""
    for name, value in params.items():
        stack.params[name][row] = value


def gradients(stack: Stack, x: Tensor = X, y: Tensor = Y) -> list[resmlp.Params]:
    """Each run's clipped gradients in the stack's first step: Adam's first moment is a tenth."""
    assert stack.optimizer_steps == 0
    stack.step(x, y)
    return [
        {name: first[row] / (1 - 0.9) for name, (first, _) in stack.moments.items()}
        for row in range(stack.size)
    ]


def one_run(one: RunSpec, params: resmlp.Params, x: Tensor = X, y: Tensor = Y) -> resmlp.Params:
    """The gradients of a stack that holds this one run."""
    stack = Stack([one], SHAPE)
    assign(stack, params)
    return gradients(stack, x, y)[0]


def cosine(a: Tensor, b: Tensor) -> Tensor:
    """(..., d), (..., d) -> (...)."""
    return (a * b).sum(-1) / (a.norm(dim=-1) * b.norm(dim=-1))


def close(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-13)


def exactly(actual: Tensor, expected: Tensor) -> bool:
    return torch.equal(actual, expected) and actual.dtype == expected.dtype


def copies(value):
    """Deep copies of the tensors in a trace, a list or a state."""
    if isinstance(value, Tensor):
        return value.clone()
    if isinstance(value, dict):
        return {key: copies(v) for key, v in value.items()}
    return [copies(v) for v in value]


def tensors(value) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    else:
        for part in value.values() if isinstance(value, dict) else value:
            yield from tensors(part)


# ------------------------------------------------------------------ every rule: the contract


@pytest.fixture(params=NAMES)
def rule(request: pytest.FixtureRequest) -> Rule:
    return rules.get(request.param)


@pytest.mark.parametrize("n", [1, N])
@pytest.mark.usefixtures("no_global_generator")
def test_credit_is_one_tensor_per_hidden_state(rule, n):
    x, y = batch(n=n)
    trace = trace_of(rule, used_params(), x, y)
    credits = rule.credit(new_state(rule), trace)
    assert [tuple(a.shape) for a in credits] == [(n, SHAPE.width)] * (SHAPE.depth + 1)
    for a in credits:
        assert a.dtype == torch.float64 and a.isfinite().all() and a.norm() > 0


def test_credit_is_pure(rule):
    state, trace = new_state(rule), trace_of(rule, used_params())
    before = copies(state), copies(trace)
    first = copies(rule.credit(state, trace))
    again = rule.credit(state, trace)
    assert all(map(exactly, first, again))
    for now, then in zip(tensors([state, *trace]), tensors(before), strict=True):
        assert exactly(now, then)


@pytest.mark.usefixtures("no_global_generator")
def test_init_depends_on_its_generator_and_shape_alone(rule):
    """Paired comparisons need it: every k, penalty and precision of a seed has one feedback."""
    name = next(n for n in NAMES if rules.get(n) == rule)
    first = rule.init(spec(name), SHAPE, generator(7, "feedback"))
    for changes in ({"k": 0}, {"penalty": 0.1}, {"credit_eps": 0}, {"precision": "fp32"}):
        other = rule.init(spec(name, **changes), SHAPE, generator(7, "feedback"))
        assert first.keys() == other.keys()
        assert all(exactly(first[key], other[key]) for key in first)
    for value in first.values():
        assert value.dtype == torch.float32 or not value.is_floating_point()


def test_lifting_by_vmap_is_the_loop_over_runs(rule):
    runs = range(3)
    states = [new_state(rule, seed=seed) for seed in runs]
    traces = [trace_of(rule, used_params(seed=seed), *batch(seed=seed)) for seed in runs]
    stacked_state = {key: torch.stack([s[key] for s in states]) for key in states[0]}
    stacked = tree_map(lambda *parts: torch.stack(parts), *traces)
    together = vmap(rule.credit)(stacked_state, stacked)
    for row in runs:
        alone = rule.credit(states[row], traces[row])
        for lifted, expected in zip(together, alone, strict=True):
            close(lifted[row], expected)


def test_exact_at_output_is_declared_by_those_that_are(rule):
    trace = trace_of(rule, used_params())
    at_output = rule.credit(new_state(rule), trace)[-1]
    assert exactly(at_output, trace.grad_out) == rule.exact_at_output
    if not rule.exact_at_output:
        assert cosine(at_output, trace.grad_out).max() < 0.999


def test_hidden_gradients_are_not_zero_when_a_run_begins(rule):
    """A block whose last layer started at exactly 0 would leave nothing to align with."""
    stack = Stack([spec(next(n for n in NAMES if rules.get(n) == rule))], SHAPE)
    run = resmlp.forward(stack.params, X)
    error = resmlp.output_error(run.logits, Y.expand(1, -1))
    for g in resmlp.hidden_gradients(stack.params, run, error):
        assert g.norm(dim=-1).min() > 1e-3


@pytest.mark.parametrize("name", [n for n in LOCAL if n not in YOURS])
def test_a_rule_that_sees_no_gradient_is_not_silently_backprop(name):
    """Below h_L its credit does not point along g_l, nor do the gradients it trains on."""
    rule, params = rules.get(name), new_params(WIDE)
    x, y = batch(WIDE, n=64)
    trace = trace_of(rule, params, x, y)
    exact = trace_of(rules.get("oracle"), params, x, y).hidden_grads
    credits = rule.credit(new_state(rule, WIDE), trace)
    for a, g in list(zip(credits, exact, strict=True))[:-1]:
        assert cosine(a, g).mean().abs() < 0.5

    stack = Stack(arrange([spec("bp", WIDE), spec(name, WIDE)]), WIDE)
    by_bp, by_rule = gradients(stack, x, y)
    for part in ("embed.weight", "blocks.0.fc2.weight", "blocks.1.fc2.weight"):
        assert cosine(by_rule[part].flatten(), by_bp[part].flatten()).abs() < 0.5, part
    for part in resmlp.HEAD:
        close(by_rule[part], by_bp[part])


@pytest.mark.parametrize("name", SURROGATE)
def test_the_surrogate_is_not_backprop_even_where_the_credit_is(name):
    stack = Stack(arrange([spec("bp"), spec(name)]), SHAPE)
    by_rule = dict(zip([s.rule for s in stack.specs], gradients(stack), strict=True))
    part = f"blocks.{SHAPE.depth - 1}.fc2.weight"
    exact = by_rule["bp"][part]
    assert (by_rule[name][part] - exact).norm() > 0.1 * exact.norm()


# ------------------------------------------------------------------ every rule: what it may see


class Barrier(torch.autograd.Function):
    """The identity forward; no gradient gets back through it."""

    @staticmethod
    def forward(ctx, h: Tensor) -> Tensor:
        return h.clone()

    @staticmethod
    def backward(ctx, *grads: Tensor) -> Tensor:
        raise AssertionError("autograd went back through the blocks")


def trace_with_graph(rule: Rule, params: resmlp.Params) -> Trace:
    """Hidden states still tied together by a graph, with a `Barrier` on every block."""
    hiddens = [resmlp.embed(params, X).requires_grad_()]
    for block in range(SHAPE.depth):
        out = resmlp.block_forward(params, block, hiddens[-1]).out
        through = Barrier.apply(hiddens[-1] + out)
        assert isinstance(through, Tensor)
        hiddens.append(through)
    logits = resmlp.head(params, resmlp.standardise(hiddens[-1]))
    return trace_of(rule, params)._replace(hiddens=hiddens, logits=logits)


class Cheat(Rule):
    """Says it is local and is not: what the barrier must stop."""

    def credit(self, state: State, trace: Trace) -> list[Tensor]:
        loss = F.cross_entropy(trace.logits, trace.labels)
        return list(torch.autograd.grad(loss, trace.hiddens))


@pytest.mark.parametrize("name", LOCAL)
def test_a_local_rule_never_goes_back_through_the_blocks(name):
    rule = rules.get(name)
    tied = trace_with_graph(rule, used_params())
    assert tied.hidden_grads == [], "a local rule may not read hidden gradients"
    credits = rule.credit(new_state(rule), tied)
    for a, expected in zip(
        credits, rule.credit(new_state(rule), trace_of(rule, used_params())), strict=True
    ):
        assert torch.equal(a, expected)


def test_the_barrier_stops_a_rule_that_cheats():
    with pytest.raises(AssertionError, match="back through the blocks"):
        Cheat().credit({}, trace_with_graph(Cheat(), used_params()))


@pytest.mark.parametrize("name", [n for n in NAMES if n in LOCAL or n not in YOURS])
def test_local_means_that_a_step_needs_no_pass_back_through_the_blocks(name, monkeypatch):
    def refuse(*args):
        raise AssertionError("backward pass through a block")

    stack = Stack([spec(name)], SHAPE)
    monkeypatch.setattr(resmlp, "block_input_vjp", refuse)
    if rules.get(name).local:
        stack.step(X, Y)
    else:
        with pytest.raises(AssertionError, match="through a block"):
            stack.step(X, Y)


@pytest.mark.parametrize("name", NAMES)
def test_only_reference_rules_are_shown_hidden_gradients(name, monkeypatch):
    """In a stack beside bp and oracle, where the gradients are there to be had."""
    rule, seen = rules.get(name), []
    methods = ["credit", *(["gradients"] if rule.learned else [])]

    def spied(method: str) -> Callable:
        honest = getattr(type(rule), method)

        def spy(self, state: State, trace: Trace, *noise: State):
            seen.append((method, len(trace.hidden_grads)))
            return honest(self, state, trace, *noise)

        return spy

    for method in methods:
        monkeypatch.setattr(type(rule), method, spied(method))
    stack = Stack(arrange([spec(n) for n in dict.fromkeys(["bp", "oracle", name])]), SHAPE)
    stack.set_phase(0, 1)
    stack.step(X, Y)
    held_out(stack)
    shown = SHAPE.depth + 1 if rule.reads_hidden_grads else 0
    assert seen == [(method, shown) for method in (*reversed(methods), "credit")]
    assert not (rule.local and rule.reads_hidden_grads)


def held_out(stack: Stack) -> list[Tensor]:
    """The credits that a measurement sees, (R, N, d) each: of per-sample errors."""
    labels = Y.expand(stack.size, -1)
    run = resmlp.forward(stack.params, X)
    error = resmlp.output_error(run.logits, labels)
    grads = resmlp.hidden_gradients(stack.params, run, error)
    return stack.measured_credits(run, labels, error, grads[-1], grads)


# ------------------------------------------------------------------ every rule: one step


@pytest.mark.parametrize("name", SURROGATE)
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_block_l_trains_on_the_credit_that_the_rule_declares(name, reduction):
    """Gradients of mean_n <f_l(h_l), norm(a_{l + block_credit})> and <embed(x), norm(a_0)>."""
    rule, params = rules.get(name), used_params()
    one = spec(name, clip=NO_CLIP, credit_eps=1e-3, credit_reduction=reduction)
    grads = one_run(one, params)

    state = new_state(rule, seed=one.seed)
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


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("name", [n for n in FIXED if rules.get(n).surrogate])
def test_showing_every_sample_twice_doubles_eps_at_most(name, reduction):
    """A rule of `mean` credit is a direction and a brake in one.

    norm(v) = v / (rms(v) + eps) and v ~ 1/N under `mean`: there, 2N samples act as eps twice as
    large. Under `sum`, and at eps = 0, they change nothing.
    """
    eps, params = 0.01, used_params()
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
    params = used_params()
    once = one_run(spec("bp"), params)
    for part, grad in one_run(spec("bp"), params, torch.cat([X, X]), torch.cat([Y, Y])).items():
        torch.testing.assert_close(grad, once[part], rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("name", NAMES)
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


@pytest.mark.parametrize("name", NAMES)
def test_the_penalty_keeps_residual_branches_small(name):
    stack = Stack([spec(name, lr=1e-2), spec(name, lr=1e-2, penalty=1.0)], SHAPE)
    for _ in range(100):
        stack.step(X, Y)
    branches = [b.out.norm(dim=-1).mean(-1) for b in resmlp.forward(stack.params, X).blocks]
    free, penalised = torch.stack(branches).sum(0)
    assert penalised < 0.5 * free


# ------------------------------------------------------------------ feedback matrices

FEEDBACK = [n for n in FIXED if "feedback" in new_state(rules.get(n))]


def test_the_rules_with_feedback_matrices():
    assert {"fa", "dfa"} <= set(FEEDBACK)


@pytest.mark.parametrize("name", FIXED)
def test_a_rule_that_does_not_learn_draws_and_changes_nothing(name):
    rule, one = rules.get(name), spec(name, estimator_lr=1.0)
    assert rule.noise(SHAPE, N, generator(0, "test")) == {}
    assert rule.refreshed(new_state(rule)) == {}
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


@pytest.mark.parametrize("name", FEEDBACK)
def test_feedback_is_drawn_once_and_for_all(name):
    """The same matrices before, during and after training, and under the measurements."""
    stack = Stack([spec(name, seed=3)], SHAPE)
    drawn = new_state(rules.get(name), seed=3)["feedback"]
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
    feedback = new_state(rules.get(name), WIDE)["feedback"]
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


# ------------------------------------------------------------------ bp, oracle


@pytest.mark.parametrize("k", range(SHAPE.depth + 1))
def test_bp_steps_along_the_gradient_of_the_whole_network(k):
    """Unclipped: `clip` is below every block's gradient norm here and changes nothing."""
    params = used_params()
    grads = one_run(spec("bp", k=k, clip=1e-6), params)
    model = ResMLP.from_params(params)
    F.cross_entropy(model(X), Y).backward()
    for part, p in model.named_parameters():
        assert p.grad is not None and p.grad.norm() > 1e-4
        frozen = part.startswith("blocks.") and int(part.split(".")[1]) < SHAPE.depth - k
        close(grads[part], torch.zeros_like(p) if frozen else p.grad)


def test_bp_and_oracle_credit_is_the_gradient_by_autograd():
    params = used_params()
    exact = reference.hidden_gradients(ResMLP.from_params(params), X, Y)
    for name in ("bp", "oracle"):
        credits = rules.get(name).credit({}, trace_of(rules.get(name), params))
        for a, g in zip(credits, exact, strict=True):
            close(a, g)


# ------------------------------------------------------------------ fa, dfa


def test_fa_and_dfa_credit_sample_by_sample():
    params = used_params()
    fa, dfa = rules.get("fa"), rules.get("dfa")
    error = ResMLP.from_params(params)(X).softmax(-1).detach() - F.one_hot(Y, SHAPE.classes)
    exact = reference.hidden_gradients(ResMLP.from_params(params), X, Y)

    matrices = new_state(dfa)["feedback"]
    credits = dfa.credit({"feedback": matrices}, trace_of(dfa, params))
    for level in range(SHAPE.depth + 1):
        for n in range(N):
            close(credits[level][n], matrices[min(level, SHAPE.depth - 1)] @ error[n])

    matrices = new_state(fa)["feedback"]
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
    fa, params = rules.get("fa"), used_params()
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
    fa, params = rules.get("fa"), used_params()
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
    """fa's B_fa (1, d, d) and (∂logits/∂h_L)^T (1, d, C), at the h_L that all of SAME_X share."""
    to_head = head_jacobian(params, resmlp.forward(params, SAME_X).hiddens[-1][0])
    return new_state(rules.get("fa"), ONE)["feedback"], to_head.T[None]


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
    params = used_params()
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


# ------------------------------------------------------------------ rules from elsewhere

ELSEWHERE = """
from dataclasses import dataclass
import torch
from credit.rules import Rule

class Compass(Rule):
    '''a_l points along axis l.'''
    def credit(self, state, trace):
        axes = torch.eye(trace.grad_out.shape[-1], dtype=trace.grad_out.dtype)
        return [axes[l].expand_as(trace.grad_out) for l in range(4)]

class Own(Compass):
    block_credit = 0

@dataclass(frozen=True)
class WithKnob(Compass):
    '''Stretched by fields of its own, which are called as fields of a run.'''
    k: int = 16
    tau: float = 0.5
    def credit(self, state, trace):
        return [a * (self.k + self.tau) for a in super().credit(state, trace)]

class ReadsHiddens(Rule):
    '''Local and not learned: every hidden state rotated by one place.'''
    def credit(self, state, trace):
        return [h.roll(1, -1) for h in trace.hiddens]

NOT_A_RULE = Compass()
NUMBER = 3
def credit(state, trace): return []
"""


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a package on sys.path that holds the rules above in its module `mine`."""
    package = tmp_path / "rules_of_the_user"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "mine.py").write_text(ELSEWHERE)
    (package / "broken.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("", ".mine", ".broken"):
        monkeypatch.delitem(sys.modules, package.name + name, raising=False)
    return package.name


@pytest.mark.parametrize(("class_name", "first"), [("Compass", 1), ("Own", 0)])
def test_a_rule_from_elsewhere_trains_and_its_credit_lands_where_it_says(
    elsewhere, class_name, first
):
    name = f"{elsewhere}.mine:{class_name}"
    assert type(rules.get(name)).__name__ == class_name
    grads = gradients(Stack([spec(name, clip=NO_CLIP, credit_eps=0)], SHAPE))[0]
    axes = torch.eye(SHAPE.width, dtype=torch.float64) * SHAPE.width**0.5  # of rms 1
    for block in range(SHAPE.depth):
        close(grads[f"blocks.{block}.fc2.bias"], axes[block + first])
    close(grads["embed.bias"], axes[0])


def test_every_rule_is_shown_the_hidden_states(elsewhere):
    stack = Stack([spec(f"{elsewhere}.mine:ReadsHiddens")], SHAPE)
    hiddens = resmlp.forward(stack.params, X).hiddens
    for a, h in zip(held_out(stack), hiddens, strict=True):
        assert torch.equal(a, h.roll(1, -1))
    stack.step(X, Y)


def test_a_rule_from_elsewhere_keeps_its_own_fields_unless_an_option_sets_them(elsewhere):
    """In one stack, in whatever order its runs come."""
    name = f"{elsewhere}.mine:WithKnob"
    values = {"none": 16.5, "k=32": 32.5, "k=2,tau=0.25": 2.25}
    members = [spec(name, k=k, tau=9.0, rule_option=o) for k in (1, 3) for o in values]
    stack = Stack(arrange(members), SHAPE)
    for row, one in enumerate(stack.specs):
        axis = held_out(stack)[2][row].sum(-1)
        assert torch.equal(axis, torch.full_like(axis, values[one.rule_option]))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("dffa", "unknown rule 'dffa': did you mean 'dfa'?"),
        ("oracel", "unknown rule 'oracel': did you mean 'oracle'?"),
        ("xyz", "unknown rule 'xyz': choose from .*bp.*dfa.*fa.*oracle"),
        ("base", "unknown rule 'base'"),
        ("", "unknown rule ''"),
        ("credit.rules.bp", "unknown rule 'credit.rules.bp'"),
        ("{}.absent:Rule", "cannot load rule '{0}.absent:Rule': No module named '{0}.absent'"),
        ("{}.mine:Absent", "cannot load rule '{0}.mine:Absent': .* no attribute 'Absent'"),
        ("{}.mine:", "cannot load rule '{0}.mine:'"),
        (":Compass", "cannot load rule ':Compass'"),
        ("{}.mine:NUMBER", "'{0}.mine:NUMBER' is not a rule: it must subclass credit.rules.Rule"),
        ("{}.mine:NOT_A_RULE", "is not a rule"),  # an instance, where a class is asked for
        ("{}.mine:credit", "is not a rule"),
        ("{}.mine:torch", "is not a rule"),
        (".mine:Compass", "cannot load rule '.mine:Compass'"),
        ("{}.broken:Rule", "cannot load rule '{0}.broken:Rule': division by zero"),
    ],
)
def test_a_rule_that_is_not_there_is_an_error_of_one_line(elsewhere, name, message):
    with pytest.raises(CreditError, match=message.format(elsewhere)) as caught:
        rules.get(name.format(elsewhere))
    assert "\n" not in str(caught.value)


def test_available_rules_can_all_be_had():
    names = rules.available()
    assert sorted(names) == names and {"bp", "oracle", "fa", "dfa"} <= set(names)
    for name in names:
        assert isinstance(rules.get(name), Rule)
        assert rules.get(name).published_reduction in ("mean", "sum")
        assert rules.get(name).block_credit in (0, 1)
        assert rules.get(name) is rules.get(name)


# ------------------------------------------------------------------ normalisation at its edges


@pytest.mark.parametrize("name", SURROGATE)
@pytest.mark.parametrize("eps", [0.0, 1e-6])
def test_a_sample_without_error_has_no_credit_and_no_nan(name, eps):
    """Logits so far apart that the error is exactly 0 in every entry.

    Credit that is a learned function of the hidden state need not vanish there.
    """
    params = used_params()
    params["out_head.bias"][2] = 1e5
    grads = one_run(spec(name, credit_eps=eps), params, X, torch.full((N,), 2))
    for part, grad in grads.items():
        assert grad.isfinite().all(), part
        if name in FIXED or part in resmlp.HEAD:
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
