"""Rules of the bench on networks of any form."""

import pytest
import torch
from torch import nn
from torchvision.models import resnet18

from credit import diagnose
from credit.errors import CreditError
from credit.networks.arithmetic import output_error
from credit.randomness import generator
from credit.rules import Rule
from tests.diagnosis.made import CLASSES, QUICK, SAMPLES, Mlp, Reader, batch, draw, labels, seeded

NETWORKS = {
    "mlp": (Mlp, batch()[0]),
    "resnet": (lambda: resnet18(num_classes=CLASSES), draw(SAMPLES, 3, 32, 32)),
    "lstm": (Reader, torch.arange(SAMPLES * 7).reshape(SAMPLES, 7) % 30),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_rules_that_need_no_weights_have_the_direction_that_they_have_by_construction(name):
    make, x = NETWORKS[name]
    model, y = seeded(make), labels()
    for rule in ("bp", "oracle"):
        got = diagnose(model, x, y, credit=rule, options=QUICK)
        assert got.metrics["alignment/deep"] == pytest.approx(1, abs=1e-5)
    last = len(got.layers) - 1
    fa = diagnose(model, x, y, credit="fa", options=QUICK, batch_size=9)
    assert fa.metrics[f"alignment/h{last:02d}"] == pytest.approx(1, abs=1e-5)
    assert abs(fa.metrics["alignment/h00"]) < 0.9
    dfa = diagnose(model, x, y, credit="dfa", options=QUICK, batch_size=9)
    assert all(row["credit_norm"] > 0 for row in dfa.rows)
    again = diagnose(model, x, y, credit="dfa", options=QUICK)
    assert again.metrics["alignment/deep"] == pytest.approx(dfa.metrics["alignment/deep"], abs=1e-5)
    other = diagnose(model, x, y, credit="dfa", options=QUICK, seed=1)
    assert other.metrics["alignment/deep"] != dfa.metrics["alignment/deep"]


def test_dfa_is_the_error_through_the_matrices_of_its_seed():
    model, (x, y) = seeded(Mlp), batch()
    matrices = torch.randn(3, 12, CLASSES, generator=generator(5, "feedback"))

    def by_hand(hiddens, logits, y):
        error = output_error(logits, y) * CLASSES**-0.5
        return [error @ matrix.mT for matrix in (*matrices, matrices[-1])]

    rule = diagnose(model, x, y, credit="dfa", options=QUICK, seed=5)
    hand = diagnose(model, x, y, credit=by_hand, options=QUICK, seed=5)
    assert rule.metrics == pytest.approx(hand.metrics, rel=1e-5)


class Columns(Rule):
    """The mean over positions of a state, per channel, everywhere: a matter of layout."""

    def credit(self, state, trace):
        found = []
        for index, h in enumerate(trace.hiddens):
            layer = trace.shape.layer(index)
            by_place = h.unflatten(-1, (-1, layer.channels))
            found.append(by_place.mean(1, keepdim=True).expand_as(by_place).flatten(1))
        return found


def test_a_rule_of_ones_own_sees_channels_fastest():
    model, x, y = seeded(lambda: resnet18(num_classes=CLASSES)), draw(6, 3, 64, 64), labels(6)

    def by_hand(hiddens, logits, y):
        return [h.mean((2, 3), keepdim=True).expand_as(h) for h in hiddens]

    rule = diagnose(model, x, y, credit=Columns(), options=QUICK)
    hand = diagnose(model, x, y, credit=by_hand, options=QUICK)
    assert rule.metrics == pytest.approx(hand.metrics, rel=1e-4, abs=1e-6)


class Peeking(Rule):
    """Asks for weights."""

    reads_weights = True


def test_rules_that_need_more_than_hidden_states_are_refused():
    model, (x, y) = seeded(Mlp), batch()
    for rule, word in (("state_bridge", "learned"), (Peeking(), "reads_weights"), ("dfaa", "dfa")):
        with pytest.raises(CreditError, match=word):
            diagnose(model, x, y, credit=rule, options=QUICK)
    with pytest.raises(CreditError, match="two layers"):
        diagnose(model, x, y, credit="dfa", layers=["embed"], options=QUICK)
    linear = nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 1))
    with pytest.raises(CreditError, match="logits"):
        diagnose(
            linear,
            x,
            draw(SAMPLES, 1),
            credit="dfa",
            options=QUICK,
            loss=lambda output, y: (output - y).square().mean(-1),
        )
