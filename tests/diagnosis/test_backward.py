"""A changed backward pass is audited beside plain autograd in a network with the same weights."""

import copy
import importlib.util
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from credit import diagnose
from credit.errors import CreditError
from tests.diagnosis.made import CLASSES, QUICK, SAMPLES, Mlp, batch, draw, labels, seeded


class Through(torch.autograd.Function):
    """A linear map whose way back is another matrix."""

    @staticmethod
    def forward(ctx, x, weight, bias, back):
        ctx.save_for_backward(back)
        return F.linear(x, weight, bias)

    @staticmethod
    def backward(ctx, grad):
        (back,) = ctx.saved_tensors
        return grad @ back, None, None, None


class Changed(nn.Linear):
    """A linear module with a way back of its own."""

    def __init__(self, plain: nn.Linear, back: torch.Tensor) -> None:
        super().__init__(plain.in_features, plain.out_features)
        self.weight, self.bias = plain.weight, plain.bias
        self.register_buffer("back", back)

    def forward(self, x):
        return Through.apply(x, self.weight, self.bias, self.back)


class Wrapper(nn.Module):
    """What libraries put around a model that they have changed."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module: Any = module

    def forward(self, x):
        return self.module(x)


def changed(plain: Mlp, back) -> Wrapper:
    model = copy.deepcopy(plain)
    for block in model.blocks:
        block.fc = Changed(block.fc, back(block.fc.weight.detach()))
    model.head = Changed(model.head, back(model.head.weight.detach()))
    return Wrapper(model)


def test_the_same_way_back_is_aligned_and_its_negative_is_opposite():
    plain, (x, y) = seeded(Mlp), batch()
    model = changed(plain, torch.clone)
    got = diagnose(model, x, y, credit="backward", reference=plain, options=QUICK, batch_size=9)
    assert got.layers == [f"blocks.{i}" for i in range(4)]
    assert got.metrics["alignment/deep"] == pytest.approx(1, abs=1e-5)
    model.module.head.back.neg_()
    got = diagnose(model, x, y, credit="backward", reference=plain, options=QUICK)
    assert got.metrics["alignment/deep"] == pytest.approx(-1, abs=1e-5)
    assert got.metrics["rho/deep"] < -0.9 and got.metrics["nudge/h01"] > 0


def test_random_ways_back_are_what_they_are_by_hand():
    plain, (x, y) = seeded(Mlp).eval(), batch()
    model = changed(plain, lambda weight: draw(*weight.shape, key=5)).eval()
    got = diagnose(model, x, y, credit="backward", reference=plain, options=QUICK)
    h = plain.norm(plain.embed(x))
    for block in plain.blocks[:-1]:
        h = block(h)
    h = h.detach().requires_grad_()
    last = plain.blocks[-1]

    def loss(block, head):
        return F.cross_entropy(head(block(h)), y, reduction="sum")

    (g,) = torch.autograd.grad(loss(last, plain.head), h)
    (a,) = torch.autograd.grad(loss(model.module.blocks[-1], model.module.head), h)
    want = F.cosine_similarity(a, g, dim=-1).mean()
    assert got.metrics["alignment/h02"] == pytest.approx(float(want), abs=1e-5)
    assert not any(p.grad is not None for p in model.parameters())


def test_frozen_weights_pass_credit_on():
    plain, (x, y) = seeded(Mlp), batch()
    model = changed(plain, torch.clone).requires_grad_(False)
    got = diagnose(model, x, y, credit="backward", reference=plain, options=QUICK)
    assert got.metrics["alignment/deep"] == pytest.approx(1, abs=1e-5)


def test_a_reference_with_other_weights_or_modules_is_refused():
    plain, (x, y) = seeded(Mlp), batch()
    model = changed(plain, torch.clone)
    for other in (seeded(Mlp, key=1), seeded(Mlp, width=16), copy.deepcopy(plain)):
        with torch.no_grad():
            other.head.weight += 0.01
        with pytest.raises(CreditError, match="weights"):
            diagnose(model, x, y, credit="backward", reference=other, options=QUICK)
    deeper = seeded(Mlp, depth=5)
    with pytest.raises(CreditError, match=r"blocks\.4"):
        diagnose(model, x, y, credit="backward", reference=deeper, options=QUICK)


def test_an_output_that_is_changed_in_place_is_refused():
    model = nn.Sequential(nn.Linear(8, 9), nn.ReLU(inplace=True), nn.Linear(9, CLASSES))
    x, y = batch()
    reference = copy.deepcopy(model)
    diagnose(model, x, y, credit="backward", reference=reference, layers=["1"])
    with pytest.raises(CreditError, match="layer 0"):
        diagnose(model, x, y, credit="backward", reference=reference, layers=["0"])


@pytest.mark.skipif(not importlib.util.find_spec("biotorch"), reason="biotorch is not installed")
def test_biotorch():
    from examples.biotorch_resnet import MODES, audit

    found = {mode: audit(mode, draw(SAMPLES, 3, 32, 32), labels()) for mode in MODES}
    assert found["usf"].metrics["alignment/deep"] > found["fa"].metrics["alignment/deep"]
    for got in found.values():
        assert got.layers == ["layer1", "layer2", "layer3", "layer4"]
        assert got.verdict("D2").status == "pass"
        assert abs(got.metrics["alignment/h03"]) < 1
