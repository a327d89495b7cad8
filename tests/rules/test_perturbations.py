"""Rules that shake hidden states: their formulas, their means, and their noise.

Legend: N batch, d units of a state, S draws.
"""

import pytest
import torch
from torch import Tensor
from torch.func import vmap
from torch.nn import functional as F

from credit import rules
from credit.randomness import generator
from credit.rules import Rule, Trace
from credit.training.stack import Stack
from tests import reference
from tests.reference import ResMLP
from tests.rules.cases import SHAPE, N, X, Y, batch, new_params, spec, trace_of
from tests.rules.on_networks import NETWORKS, run_of, shown, stack_of
from tests.stacks import assert_same_bits, close, contents, cosine, used_params
from tests.traps import refused

RULES = ["node_perturbation", "forward_gradient"]


def test_node_perturbation_sample_by_sample():
    params, rule = used_params(SHAPE), rules.get("node_perturbation")
    trace, model = trace_of(rule, params), ResMLP.from_params(params)
    credits = rule.credit({}, trace)

    def loss(h: Tensor, layer: int, label: Tensor) -> Tensor:
        for block in model.blocks[layer:]:
            h = h + block(h)
        return F.cross_entropy(model.head(h), label)

    for layer, h in enumerate(trace.hiddens):
        for n in range(N):
            xi = trace.noise[f"{layer:03d}"][n]
            size = 0.01 * h[n].square().mean().sqrt()
            change = loss(h[n] + size * xi, layer, Y[n]) - loss(h[n], layer, Y[n])
            close(credits[layer][n], (change / size * xi).detach(), rtol=1e-8)


def test_a_forward_gradient_is_the_product_with_the_gradient_times_the_direction():
    params, rule = used_params(SHAPE), rules.get("forward_gradient")
    trace = trace_of(rule, params)
    exact = reference.hidden_gradients(ResMLP.from_params(params), X, Y)  # of the batch mean
    for layer, (a, g) in enumerate(zip(rule.credit({}, trace), exact, strict=True)):
        xi = trace.noise[f"{layer:03d}"]
        close(a, N * (g * xi).sum(-1, keepdim=True) * xi)


def mean_credit(rule: Rule, trace: Trace, draws: int) -> list[Tensor]:
    source, names = generator(0, "test"), rule.noise(trace.shape, 1, generator(0, "test"))
    drawn = [rule.noise(trace.shape, len(trace.labels), source) for _ in range(draws)]
    noise = {name: torch.stack([d[name] for d in drawn]).double() for name in names}
    credits = vmap(lambda noise: rule.credit({}, trace._replace(noise=noise)), chunk_size=100)(
        noise
    )
    return [a.mean(0) for a in credits]


@pytest.mark.parametrize("network", ["resmlp", "mlp", "vit_mini"])
@pytest.mark.parametrize("name", RULES)
def test_its_mean_is_the_gradient(name, network):
    """The error of S draws is about |g| sqrt((d + 1) / S), which is .3 |g| where d is 90."""
    one = run_of(name, network, width=8, depth=2, k=2)
    rule = rules.of(one)
    if name == "node_perturbation":
        rule = rule.configured(one.replace(rule_option="step=0.001"))
    trace, exact = shown(stack_of(one))
    draws = 1000
    for a, g in zip(mean_credit(rule, trace, draws), exact, strict=True):
        expected = ((g.shape[-1] + 1) / draws) ** 0.5
        error = (a - g).norm() / g.norm()
        assert error < 1.3 * expected, (error, expected)
        assert cosine(a.flatten(), g.flatten()) > 0.9


@pytest.mark.parametrize("network", NETWORKS)
def test_slopes_on_every_network_are_those_of_central_differences(network):
    stack = stack_of(run_of("forward_gradient", network))
    trace, _ = shown(stack)
    for layer, a in enumerate(rules.get("forward_gradient").credit({}, trace)):
        h, xi = trace.hiddens[layer], trace.noise[f"{layer:03d}"]
        ends = [trace.losses_from(h + step * xi, layer) for step in (1e-6, -1e-6)]
        slopes = (ends[0] - ends[1]) / 2e-6
        torch.testing.assert_close(a, slopes.unsqueeze(-1) * xi, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("name", RULES)
@pytest.mark.usefixtures("no_global_generator")
def test_noise_is_new_in_every_step_and_paired_by_seed(name):
    stack = Stack([spec(name, seed=1, k=k) for k in (0, 3)] + [spec(name, seed=2)], SHAPE)
    (group,) = stack.lanes[0].groups
    first, again, later = (group.noise(N, step) for step in (0, 0, 1))
    for key, value in first.items():
        assert torch.equal(value, again[key])
        assert torch.equal(value[0], value[1]) and not torch.equal(value[0], value[2])
        assert not torch.equal(value, later[key])
    assert_same_bits(stack.lanes[0].measured_noise(N)[0], stack.lanes[0].measured_noise(N)[0])


@pytest.mark.parametrize("name", RULES)
def test_a_step_uses_the_noise_of_its_number(name):
    """Skipping one step changes what the next draws: steps, not calls, name the noise."""
    stack, other = Stack([spec(name, lr=0.0)], SHAPE), Stack([spec(name, lr=0.0)], SHAPE)
    for row, value in new_params().items():
        stack.params[row][0] = other.params[row][0] = value
    for one, counts in ((stack, (0, 1)), (other, (1, 1))):
        for count in counts:
            one.set_optimizer_steps(count)
            one.step(*batch())
    moved = [n for n, v in contents(stack).items() if not torch.equal(v, contents(other)[n])]
    assert any(n.startswith("moment1/blocks.0") for n in moved)
    assert not any("out_" in n and n.startswith("param") for n in moved)


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("node_perturbation", {"precision": "bf16"}, ["bf16", "fp32"]),
        ("pepita", {"precision": "bf16"}, ["bf16", "fp32"]),
        ("pepita", {"rule_option": "scale=0"}, ["scale=0", "above 0"]),
        ("node_perturbation", {"rule_option": "step=-1"}, ["step=-1", "above 0"]),
        ("node_perturbation", {"rule_option": "sigma=1"}, ["'sigma'", "step"]),
        *((name, {"credit_reduction": "mean"}, ["mean", "published"]) for name in RULES),
        *(
            (n, {"credit_reduction": "mean"}, ["mean", "published"])
            for n in ("drtp", "local_loss", "pepita", "difference_target_propagation")
        ),
    ],
)
def test_settings_that_do_not_suit_a_rule_are_refused(name, changes, words):
    refused(lambda: run_of(name, "resmlp", **{"precision": "fp32", **changes}), *words)
