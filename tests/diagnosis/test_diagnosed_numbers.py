"""A diagnosis gives the numbers that the bench measures in its own networks."""

import pytest
import torch
from torch import nn

from credit import measures
from credit.diagnosis import Options, diagnose
from credit.measures.base import layer_name
from credit.networks import resmlp
from credit.networks.base import Shape, stacked
from credit.networks.by_hand import ResMLP
from credit.randomness import generator
from tests.diagnosis.made import QUICK, SAMPLES, Mlp, batch, draw, exact, labels, seeded

DEPTH, WIDTH = 3, 16
NETWORK = ResMLP(Shape(12, WIDTH, 5, DEPTH))
pytestmark = pytest.mark.usefixtures("no_global_generator")


class Layer(nn.Module):
    """A step of the bench's own network."""

    def __init__(self, step):
        super().__init__()
        self.step = step

    def forward(self, h):
        return self.step(h)


def own_network():
    params = resmlp.init(12, WIDTH, 5, DEPTH, generator(7, "init"), torch.float64)
    for layer in range(DEPTH):
        params[f"blocks.{layer}.fc2.weight"] *= 30

    def block(index):
        return lambda h: NETWORK.advance(params, h, index)

    steps = [
        lambda x: NETWORK.embed(params, x),
        *(block(index) for index in range(DEPTH)),
        lambda h: NETWORK.head(params, h),
    ]
    return params, nn.Sequential(*map(Layer, steps))


@pytest.mark.parametrize("relative", [False, True])
def test_they_are_those_of_the_bench(relative):
    params, model = own_network()
    x, y = draw(SAMPLES, 12).double(), labels()
    credits = [draw(SAMPLES, WIDTH, key=layer + 1).double() for layer in range(DEPTH + 1)]
    options = Options(directions=3, relative_steps=relative)
    (want,) = measures.measure(
        NETWORK,
        stacked([params]),
        x,
        y,
        lambda *_: [a.unsqueeze(0) for a in credits],
        options,
        [0],
        [False],
    )
    names = [str(layer) for layer in range(DEPTH + 1)]
    got = diagnose(model, x, y, credit=credits, layers=names, options=options, batch_size=SAMPLES)
    beside = {n for n in want.metrics if n.startswith(("rho_relative", "nudge_relative"))}
    assert got.metrics.keys() == want.metrics.keys() - beside  # a diagnosis has steps of one kind
    for name in got.metrics:
        value = want.metrics[name]
        assert got.metrics[name] == pytest.approx(value, rel=1e-6, abs=1e-9), name
    for row, other in zip(got.rows, want.layers, strict=True):
        for name in other.keys() & row.keys():
            known = other[name]
            words = known is None or isinstance(known, str)
            assert row[name] == (known if words else pytest.approx(known, 1e-6, 1e-9)), name


def test_neither_the_size_of_micro_batches_nor_the_other_samples_change_a_sample():
    model, (x, y) = seeded(Mlp), batch()
    whole = diagnose(model, x, y, credit=exact, options=QUICK)
    small = diagnose(model, x, y, credit=exact, options=QUICK, batch_size=5)
    for name, value in whole.metrics.items():
        if not name.startswith("rho"):  # other directions
            assert small.metrics[name] == pytest.approx(value, rel=1e-4, abs=1e-6), name


def test_controls_bracket_a_noisy_credit():
    model, (x, y) = seeded(Mlp), batch(200)

    def noisy(hiddens, logits, y):
        grads = exact(hiddens, logits, y)
        sizes = [g.norm(dim=-1, keepdim=True) / g[0].numel() ** 0.5 for g in grads]
        return [g + s * draw(*g.shape, key=9) for g, s in zip(grads, sizes, strict=True)]

    got = diagnose(model, x, y, credit=noisy, batch_size=200, perturbed=200)
    for row in got.rows:
        assert row["nudge_g"] < row["nudge"] < 0 < row["nudge_neg_g"]
        assert 0.5 < row["alignment_mean"] < 0.9
        assert 0.5 < row["rho"] < 0.9 < row["rho_g"]
        assert (row["alignment_g"], row["alignment_neg_g"]) == pytest.approx((1, -1), abs=1e-6)
        assert row["rho_neg_g"] == -row["rho_g"]
        assert abs(row["alignment_random"]) < 4 / (12 * 200) ** 0.5
    copies = [row["copy"] for row in got.rows]
    assert copies[-1] == pytest.approx(1) and copies[0] < copies[-1]
    assert got.metrics["copy/deep"] == pytest.approx(sum(copies[1:]) / 3)


def test_a_loss_of_ones_own_on_targets_of_any_kind():
    model, (x, _) = seeded(Mlp), batch()
    target = {"value": draw(SAMPLES, 5, key=3), "weight": draw(SAMPLES, key=4).exp()}

    def loss(output, y):
        return y["weight"] * (output - y["value"]).square().mean(-1)

    def gradient(hiddens, output, y):
        return torch.autograd.grad(loss(output, y).sum(), hiddens)

    got = diagnose(model, x, target, loss=loss, credit=gradient, options=QUICK, batch_size=7)
    for layer in range(4):
        assert got.metrics[f"alignment/{layer_name(layer)}"] == pytest.approx(1, abs=1e-5)
        assert got.metrics[f"rho/{layer_name(layer)}"] > 0.9


def test_a_credit_of_zero_is_no_direction():
    model, (x, y) = seeded(Mlp), batch()
    got = diagnose(
        model, x, y, credit=lambda h, *_: [torch.zeros_like(v) for v in h], options=QUICK
    )
    assert {row["status"] for row in got.rows} == {"credit_zero"}
    assert {row["nudge_status"] for row in got.rows} == {"credit_zero"}
    assert {row["rho_status"] for row in got.rows} == {"spread_zero"}
    assert not [name for name in got.metrics if name.startswith(("alignment", "rho", "nudge"))]
    assert [v.status for v in got.verdicts] == ["pass", "pass", "undefined"]


def test_growth_beyond_the_bound_fails_d1():
    model, (x, y) = seeded(Mlp), batch()
    with torch.no_grad():
        model.blocks[2].fc.bias += 10  # tanh is 1
    model.blocks[2].register_forward_hook(lambda _m, _a, h: 100 * h)
    got = diagnose(model, x, y, options=QUICK)
    assert got.verdict("D1").status == "fail" and got.metrics["growth/max"] > 50
    assert got.verdict("direction").status == "undefined"  # there is no credit
    assert "credit_norm/h00" not in got.metrics and got.rows[0]["alignment_mean"] is None
