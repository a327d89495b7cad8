"""A diagnosis asks a copy in float64 whether gradients are a reference; without one, the floor."""

import pytest
import torch
from torch.nn import functional as F

from credit.diagnosis import diagnose
from tests.diagnosis.made import CLASSES, QUICK, Mlp, batch, exact, seeded

pytestmark = pytest.mark.usefixtures("no_global_generator")


def small() -> Mlp:
    """A network whose gradients are of 1e-8: below the floor, and found by float64."""
    model = seeded(Mlp)
    with torch.no_grad():
        model.head.weight *= 1e-7
    return model


class Single(Mlp):
    """A network that runs in float32 alone, as kernels of one precision do."""

    def forward(self, x):
        return super().forward(x.float())


class Uncopied(Mlp):
    """A network that cannot be copied."""

    def __deepcopy__(self, _known):
        raise RuntimeError("holds a handle")


def test_a_small_gradient_is_a_reference():
    got = diagnose(small(), *batch(), credit=exact, options=QUICK, batch_size=7)
    assert got.metrics["valid/reference"] == 1 and got.metrics["agreement/min"] > 0.99999
    assert [v.status for v in got.verdicts] == ["pass", "fail", "pass"]
    assert got.metrics["alignment/h00"] == pytest.approx(1)
    assert got.settings["reference"] == "float64"


def test_a_gradient_that_float32_cancels_is_none():
    def loss(output, y):
        return F.cross_entropy(output, y, reduction="none")

    model, (x, y) = seeded(Mlp), batch()
    with torch.no_grad():
        model.head.bias.copy_(torch.eye(CLASSES)[0] * 30)
    given = {"credit": exact, "options": QUICK, "loss": loss}
    got = diagnose(model, x, torch.zeros_like(y), **given)
    assert {row["status"] for row in got.rows} == {"reference_disagrees"}
    assert got.metrics["valid/reference"] == 0 and got.metrics["agreement/min"] < 0.95
    assert got.verdict("direction").status == "undefined"
    assert got.verdict("direction").reason.startswith("reference does not hold")
    double = diagnose(model.double(), x.double(), torch.zeros_like(y), **given)
    assert double.metrics["valid/reference"] == 1


@pytest.mark.parametrize("kind", [Single, Uncopied])
def test_without_a_copy_the_floor_decides_and_is_named(kind):
    model = seeded(kind)
    for factor, status in ((1.0, "ok"), (1e-7, "reference_at_floor")):
        with torch.no_grad():
            model.head.weight *= factor
        got = diagnose(model, *batch(), credit=exact, options=QUICK, batch_size=10)
        assert {row["status"] for row in got.rows} == {status}
        assert {row["agreement"] for row in got.rows} == {None}
        assert got.metrics["valid/reference"] == (status == "ok")
        assert "agreement/min" not in got.metrics
        assert "RuntimeError" in got.settings["reference"] and "RuntimeError" in str(got)
    assert got.verdict("direction").status == "undefined"
    assert "no float64 copy" in got.verdict("direction").reason


def test_in_training_mode_the_floor_decides():
    got = diagnose(small(), *batch(), credit=exact, options=QUICK, training=True)
    assert {row["status"] for row in got.rows} == {"reference_at_floor"}
    assert "training mode" in got.settings["reference"]
    double = diagnose(
        small().double(), batch()[0].double(), batch()[1], credit=exact, training=True
    )
    assert double.metrics["valid/reference"] == 1
