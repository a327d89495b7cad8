"""The rules beyond the published comparisons on every kind of network."""

import pytest
import torch
from torch.func import vmap

from credit import rules
from credit.errors import CreditError
from credit.networks import kinds
from credit.networks.base import Layer
from credit.networks.module import Parts
from credit.rules import Shape
from tests.rules.on_networks import (
    DEPTH,
    NETWORKS,
    NEW,
    SAMPLES,
    batch,
    run_of,
    shape_of,
    shown,
    stack_of,
    steps,
)
from tests.stacks import assert_same_bits, close, contents


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("rule", NEW)
def test_every_rule_serves_every_network(rule, network):
    """Credit has the states' forms and is finite; two steps leave nothing that is not."""
    spec = run_of(rule, network)
    rules.of(spec).check(spec, shape_of(spec))
    stack = stack_of(spec)
    trace, _ = shown(stack)
    credits = rules.of(spec).credit(stack.rule_state(0), trace)
    assert [tuple(a.shape) for a in credits] == [(SAMPLES, d) for d in stack.shape.units]
    for a in credits:
        assert a.isfinite().all() and a.norm() > 0
    before = contents(stack)
    steps(stack, 2)
    assert not stack.non_finite(0)
    moved = [
        name for name, value in contents(stack).items() if not torch.equal(value, before[name])
    ]
    assert {f"param/{name}" for name in stack.params} <= set(moved)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("rule", NEW)
def test_a_run_trains_as_it_does_alone(rule, network):
    """Beside other seeds and other numbers of trained blocks."""
    specs = [run_of(rule, network, seed=s, k=k) for s, k in ((1, DEPTH), (2, 1), (2, DEPTH))]
    together = stack_of(*specs)
    steps(together, 3)
    for row, spec in enumerate(together.specs):
        alone = stack_of(spec)
        steps(alone, 3)
        found = contents(together, row)
        for name, value in contents(alone).items():
            close(found[name], value, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("rule", NEW)
def test_states_differ_by_seed_and_not_by_k(rule):
    one, other, frozen = (
        stack_of(run_of(rule, "small_cnn", seed=s, k=k)).rule_state(0)
        for s, k in ((1, DEPTH), (2, DEPTH), (1, 0))
    )
    assert_same_bits(one, frozen)
    drawn = [name for name, value in one.items() if value.norm() > 0]
    assert not any(torch.equal(one[name], other[name]) for name in drawn)


class Strange(torch.nn.Module):
    """A block with a weight that is no Linear's."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(16, 16))

    def forward(self, h):
        return h @ self.weight


def strange(image: tuple[int, ...], classes: int) -> torch.nn.Module:
    embed = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 16))
    return Parts(embed, [Strange()], torch.nn.Linear(16, classes))


@pytest.mark.parametrize("rule", NEW)
def test_rules_that_replace_weights_refuse_those_that_cannot_be(rule):
    spec = run_of(rule, f"{__name__}:strange", depth=1, k=1)
    configured, shape = rules.of(spec), shape_of(spec)
    if configured.local:
        configured.check(spec, shape)
        return
    with pytest.raises(CreditError, match=r"blocks\.0\.weight .* choose another network"):
        configured.check(spec, shape)


@pytest.mark.parametrize("rule", ["fa", "difference_target_propagation"])
def test_rules_that_spread_credit_refuse_positions_without_a_counterpart(rule):
    spec = run_of(rule, "small_cnn")
    flattened = Shape(64, 16, 10, 1, (Layer(4), Layer(4, (4, 4))), (1, 8, 8))
    with pytest.raises(CreditError, match="choose another rule or network"):
        rules.of(spec).check(spec, flattened)


def test_pull_lifted_is_pull_of_each_run():
    """`kinds` has one object for all runs: what it hooks for one must not reach another."""
    spec = run_of("fa_layerwise", "small_resnet")
    stack = stack_of(spec, spec.replace(seed=7))
    traces = [shown(stack, row)[0] for row in range(2)]
    states = [stack.rule_state(row) for row in range(2)]
    (group,) = stack.lanes[0].groups
    both = torch.utils._pytree.tree_map(lambda *t: torch.stack(t), *traces)
    lifted = vmap(group.rule.credit)(group.state, both)
    for row in range(2):
        alone = group.rule.credit(states[row], traces[row])
        close([a[row] for a in lifted], alone, rtol=1e-8, atol=1e-12)
    x, _ = batch()
    network = kinds.of(spec, stack.shape, "cpu", torch.float64)
    assert torch.equal(network.logits(stack.params, x), stack.network.logits(stack.params, x))
