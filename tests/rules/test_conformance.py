"""Every rule file keeps the contract and is what it says of itself."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.func import vmap
from torch.nn import functional as F
from torch.utils._pytree import tree_leaves, tree_map

from credit import rules
from credit.networks import arithmetic, resmlp
from credit.randomness import generator
from credit.rules import Rule, State, Trace
from credit.training.stack import Stack, arrange
from tests.rules.cases import (
    LOCAL,
    NAMES,
    SHAPE,
    WIDE,
    YOURS,
    Barrier,
    N,
    X,
    Y,
    batch,
    copies,
    exactly,
    gradients,
    held_out,
    new_params,
    new_state,
    spec,
    trace_of,
)
from tests.stacks import close, cosine, used_params


@pytest.mark.parametrize("n", [1, N])
@pytest.mark.usefixtures("no_global_generator")
def test_credit_is_one_tensor_per_hidden_state(name, rule, n):
    x, y = batch(n=n)
    trace = trace_of(rule, used_params(SHAPE), x, y)
    credits = rule.credit(new_state(name), trace)
    assert [tuple(a.shape) for a in credits] == [(n, SHAPE.width)] * (SHAPE.depth + 1)
    for a in credits:
        assert a.dtype == torch.float64 and a.isfinite().all() and a.norm() > 0


def test_credit_is_pure(name, rule):
    state, trace = new_state(name), trace_of(rule, used_params(SHAPE))
    before = copies(state), copies(trace)
    first = copies(rule.credit(state, trace))
    again = rule.credit(state, trace)
    assert all(map(exactly, first, again))
    for now, then in zip(tree_leaves((state, trace)), tree_leaves(before), strict=True):
        assert exactly(now, then)


@pytest.mark.usefixtures("no_global_generator")
def test_init_depends_on_its_generator_and_shape_alone(name, rule):
    """Paired comparisons need it: every k, penalty and precision of a seed has one feedback."""
    first = rule.init(spec(name), SHAPE, generator(7, "feedback"))
    for changes in ({"k": 0}, {"penalty": 0.1}, {"credit_eps": 0}, {"precision": "fp32"}):
        other = rule.init(spec(name, **changes), SHAPE, generator(7, "feedback"))
        assert first.keys() == other.keys()
        assert all(exactly(first[key], other[key]) for key in first)
    for value in first.values():
        assert value.dtype == torch.float32 or not value.is_floating_point()


def test_lifting_by_vmap_is_the_loop_over_runs(name, rule):
    runs = range(3)
    states = [new_state(name, seed=seed) for seed in runs]
    traces = [trace_of(rule, used_params(SHAPE, seed), *batch(seed=seed)) for seed in runs]
    stacked_state = {key: torch.stack([s[key] for s in states]) for key in states[0]}
    stacked = tree_map(lambda *parts: torch.stack(parts), *traces)
    together = vmap(rule.credit)(stacked_state, stacked)
    for row in runs:
        close([a[row] for a in together], rule.credit(states[row], traces[row]))


def test_exact_at_output_is_declared_by_those_that_are(name, rule):
    trace = trace_of(rule, used_params(SHAPE))
    at_output = rule.credit(new_state(name), trace)[-1]
    assert exactly(at_output, trace.grad_out) == rule.exact_at_output
    if not rule.exact_at_output:
        assert cosine(at_output, trace.grad_out).max() < 0.999


def test_hidden_gradients_are_not_zero_when_a_run_begins(name):
    """A block whose last layer started at exactly 0 would leave nothing to align with."""
    stack = Stack([spec(name)], SHAPE)
    run = resmlp.forward(stack.params, X)
    error = arithmetic.output_error(run.logits, Y.expand(1, -1))
    for g in resmlp.hidden_gradients(stack.params, run, error):
        assert g.norm(dim=-1).min() > 1e-3


@pytest.mark.parametrize("name", [n for n in LOCAL if n not in YOURS])
def test_a_rule_that_sees_no_gradient_is_not_silently_backprop(name, rule):
    """Below h_L its credit does not point along g_l, nor do the gradients it trains on."""
    params = new_params(WIDE)
    x, y = batch(WIDE, n=64)
    trace = trace_of(rule, params, x, y)
    exact = trace_of(rules.get("oracle"), params, x, y).hidden_grads
    credits = rule.credit(new_state(name, WIDE), trace)
    for a, g in list(zip(credits, exact, strict=True))[:-1]:
        assert cosine(a, g).mean().abs() < 0.5

    stack = Stack(arrange([spec("bp", WIDE), spec(name, WIDE)]), WIDE)
    by_bp, by_rule = gradients(stack, x, y)
    for part in ("embed.weight", "blocks.0.fc2.weight", "blocks.1.fc2.weight"):
        assert cosine(by_rule[part].flatten(), by_bp[part].flatten()).abs() < 0.5, part
    for part in resmlp.HEAD:
        close(by_rule[part], by_bp[part])


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
def test_a_local_rule_never_goes_back_through_the_blocks(name, rule):
    tied = trace_with_graph(rule, used_params(SHAPE))
    assert tied.hidden_grads == [], "a local rule may not read hidden gradients"
    found = rule.credit(new_state(name), tied)
    free = rule.credit(new_state(name), trace_of(rule, used_params(SHAPE)))
    assert all(map(torch.equal, found, free))


def test_the_barrier_stops_a_rule_that_cheats():
    with pytest.raises(AssertionError, match="back through a block"):
        Cheat().credit({}, trace_with_graph(Cheat(), used_params(SHAPE)))


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


def test_only_reference_rules_are_shown_hidden_gradients(name, rule, monkeypatch):
    """In a stack beside bp and oracle, where the gradients are there to be had."""
    seen = []
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
