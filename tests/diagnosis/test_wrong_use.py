"""Wrong use is one line that names the value at fault."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from credit import diagnose
from tests import traps
from tests.diagnosis.made import CLASSES, QUICK, SAMPLES, Block, Mlp, batch, draw, seeded


def refused(*named: str, model=None, x=None, y=None, **more) -> None:
    """Assert that a diagnosis is refused by one line with some words."""
    model = seeded(Mlp) if model is None else model
    given = batch()
    x, y = (given[0] if x is None else x), (given[1] if y is None else y)
    line = traps.refused(lambda: diagnose(model, x, y, **{"options": QUICK, **more}), *named)
    assert len(line) < 300


class Net(nn.Module):
    """A network with whatever way through it."""

    def __init__(self, way):
        super().__init__()
        self.first, self.second, self.head = Block(8), Block(8), nn.Linear(8, CLASSES)
        self.way = way

    def forward(self, x):
        return self.way(self, x)


BOTH = ["first", "second"]
LOSSES = {
    "mean": lambda output, y: F.cross_entropy(output, y),
    "per class": lambda output, y: output.square(),
    "number": lambda output, y: 1.0,
}
WAYS = {
    "never": (lambda net, x: net.head(net.first(x)), "second"),
    "twice": (lambda net, x: net.head(net.second(net.first(net.first(x)))), "first"),
    "order": (lambda net, x: net.head(net.first(net.second(x))), "second, first"),
    "detached": (lambda net, x: net.head(net.second(net.first(x).detach())), "first"),
    "unused": (lambda net, x: net.head(net.first(x) + 0 * net.second(x).detach()), "second"),
    "output": (lambda net, x: {"logits": net.head(net.second(net.first(x)))}, "dict"),
}


@pytest.mark.parametrize("way", WAYS)
def test_ways_through_a_network(way):
    forward, word = WAYS[way]
    refused(word, model=Net(forward), layers=BOTH)


def test_layers():
    refused("layer7", layers=["layer7"])
    refused("Linear", layers=[nn.Linear(2, 2)])
    refused("layers", layers="blocks.0")
    refused("layers", layers=[])
    refused("Linear", model=nn.Linear(8, CLASSES))
    refused("function", model=lambda x: x)


def test_hidden_states():
    class Tokens(nn.Module):
        def forward(self, x):
            return x.argmax(-1)

    class Nothing(nn.Module):
        def forward(self, x):
            return None

    after = nn.Sequential(nn.Embedding(8, 6), nn.Linear(6, CLASSES))
    refused("0", "int64", model=nn.Sequential(Tokens(), *after), layers=["0"])
    refused("0", "None", model=nn.Sequential(Nothing(), nn.Linear(8, 2)), layers=["0"])
    time_first = nn.Sequential(nn.Unflatten(1, (2, 4)), nn.RNN(4, 3))
    refused(
        "1",
        "(2, 24, 3)",
        model=time_first,
        layers=["1"],
        forward=lambda model, x, y: model[1](model[0](x).transpose(0, 1))[0][-1],
    )
    broken = seeded(Mlp)
    with torch.no_grad():
        broken.blocks[1].fc.weight[0, 0] = math.nan
    refused("blocks.1", "nan", model=broken)


@pytest.mark.parametrize("name", LOSSES)
def test_losses_that_are_not_one_number_per_sample(name):
    refused("loss", loss=LOSSES[name])


def test_targets_and_inputs():
    x, y = batch()
    refused("y", y=y[:3])
    refused("x", "nan", x=x.masked_fill(x > 2, math.nan))
    refused("x", x=x[:0], y=y[:0])
    refused("x", x=torch.tensor(1.0))
    refused("cross-entropy", y=draw(SAMPLES))
    refused("cross-entropy", y="labels")
    refused("0 to 4", y=y + 1)
    refused("batch_size=0", batch_size=0)
    refused("perturbed=0", perturbed=0)
    refused("directions=0", options=QUICK._replace(directions=0))


def test_credits():
    whole = [draw(SAMPLES, 12, key=layer) for layer in range(4)]
    refused("3", "blocks.3", credit=whole[:3])
    refused("blocks.2", "(24, 11)", credit=[*whole[:2], whole[2][:, 1:], whole[3]])
    refused("(23, 12)", credit=[*whole[:3], whole[3][1:]])
    refused("blocks.1", "nan", credit=[whole[0], whole[1] * math.nan, *whole[2:]])
    refused("Tensor", credit=lambda hiddens, logits, y: hiddens[0])
    refused("blocks.0", "list", credit=lambda hiddens, logits, y: [[0.0]] * 4)
    refused("3.5", credit=3.5)


def test_backward_needs_a_reference_and_only_backward_has_one():
    refused("reference", credit="backward")
    refused("reference", credit=lambda hiddens, *_: hiddens, reference=seeded(Mlp))
