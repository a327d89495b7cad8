"""Networks of other libraries: autograd's own gradient is aligned, and nothing is left behind."""

import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint
from torchvision.models import VisionTransformer, alexnet, convnext_tiny, googlenet, resnet18, vgg11

from credit import diagnose
from credit.diagnosis.layers import chosen
from credit.errors import CreditError
from credit.measures.base import layer_name
from tests.diagnosis.made import (
    CLASSES,
    QUICK,
    Block,
    Mlp,
    Reader,
    batch,
    draw,
    exact,
    labels,
    seeded,
)

N = 12


class Encoder(nn.Module):
    """`nn.TransformerEncoder` between an embedding and a head."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(6, 16)
        layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 3)
        self.head = nn.Linear(16, CLASSES)

    def forward(self, x, padded=None):
        return self.head(self.encoder(self.embed(x), src_key_padding_mask=padded).mean(1))


def vit():
    model = VisionTransformer(32, 16, 3, 2, 16, 32, dropout=0.1, num_classes=CLASSES)
    nn.init.normal_(model.heads[0].weight)  # it begins at zero, where no gradient passes
    return model


CASES = {
    "resnet": (lambda: resnet18(num_classes=CLASSES), draw(N, 3, 32, 32), 4),
    "vit": (vit, draw(N, 3, 32, 32), 3),
    "lstm": (Reader, torch.arange(N * 7).reshape(N, 7) % 30, 3),
    "encoder": (Encoder, {"x": draw(N, 5, 6), "padded": torch.arange(5).expand(N, 5) > 3}, 3),
}


def image(model: nn.Module):
    """Everything that a model may be said to be."""
    named = {name: p.detach().clone() for name, p in model.state_dict(keep_vars=True).items()}
    sizes = [
        {name: len(v) if hasattr(v, "__len__") else None for name, v in vars(m).items()}
        for m in model.modules()
    ]
    flags = [m.training for m in model.modules()], [p.requires_grad for p in model.parameters()]
    grads = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
    return named, sizes, flags, grads


def same(one, other) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(v, other[k]) for k, v in one.items())
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def generators():
    return torch.get_rng_state(), random.getstate(), list(np.random.get_state())[1].tolist()


def odd(model: nn.Module, x) -> None:
    """Bring a model into a state of mixed modes, gradients, frozen parameters and hooks."""
    inputs = x if isinstance(x, dict) else {"_": x}
    model(*inputs.values()).sum().backward()
    for index, module in enumerate(model.modules()):
        module.training = index % 3 > 0
    for index, p in enumerate(model.parameters()):
        p.requires_grad_(index % 2 == 0)
    next(model.children()).register_forward_hook(lambda *_: None)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("training", [False, True])
def test_autograds_gradient_is_aligned_and_the_model_is_as_before(name, training):
    make, x, count = CASES[name]
    model, y = seeded(make), labels(N)
    odd(model, x)
    before, drawn = image(model), generators()
    got = diagnose(model, x, y, credit=exact, training=training, options=QUICK, batch_size=6)
    assert same(before, image(model)) and same(drawn, generators())
    assert len(got.layers) == count
    for layer in range(count):
        assert got.metrics[f"alignment/{layer_name(layer)}"] == pytest.approx(1, abs=1e-5)
        assert got.metrics[f"nudge/{layer_name(layer)}"] < 0
        if not training:  # where a sample's loss depends on the steps of others
            assert got.metrics[f"rho/{layer_name(layer)}"] > 0.9
    assert [v.status for v in got.verdicts] == ["pass", "pass", "pass"]


@pytest.mark.parametrize("name", CASES)
def test_the_model_is_as_before_when_an_exception_is_raised(name):
    make, x, _ = CASES[name]
    model, y = seeded(make), labels(N)
    odd(model, x)
    before, drawn = image(model), generators()

    def broken(hiddens, logits, y):
        torch.rand(3)
        random.random()
        np.random.rand()
        logits.sum().backward()  # gradients of parameters are not this function's to change
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        diagnose(model, x, y, credit=broken, training=True, options=QUICK)
    assert same(before, image(model)) and same(drawn, generators())


def test_blocks_are_found():
    def names(model):
        return [name for name, _ in chosen(model, None)]

    assert names(resnet18()) == ["layer1", "layer2", "layer3", "layer4"]
    assert names(vit()) == [f"encoder.layers.encoder_layer_{i}" for i in range(3)]
    assert names(Encoder()) == [f"encoder.layers.{i}" for i in range(3)]
    assert names(Reader()) == ["embedding", "first", "second"]
    assert names(Mlp(depth=2)) == ["blocks.0", "blocks.1"]
    vgg = names(vgg11())
    assert len(vgg) == 8 and all(name.startswith("features.") for name in vgg)
    assert names(alexnet())[-1] == "features.12"
    assert names(convnext_tiny()) == [f"features.{i}" for i in range(8)]
    assert "inception4c" in names(googlenet(init_weights=False))  # and not a branch of one
    plain = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))
    assert names(plain) == ["1", "3"]
    assert names(nn.Sequential(nn.Linear(4, 8), Block(8), Block(8), nn.Linear(8, 2))) == list("012")
    with pytest.raises(CreditError):
        chosen(nn.Linear(2, 2), None)


def test_layers_by_module_and_by_name_are_the_same():
    model, (x, y) = seeded(Mlp), batch()
    one = diagnose(model, x, y, layers=["embed", "blocks.1"], options=QUICK)
    other = diagnose(model, x, y, layers=[model.embed, model.blocks[1]], options=QUICK)
    assert one.rows == other.rows and one.layers == ["embed", "blocks.1"]
    every = diagnose(model, x, y, layers=model.blocks, options=QUICK)
    assert every.rows == diagnose(model, x, y, options=QUICK).rows


def test_layers_that_are_changed_in_place_afterwards():
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(inplace=True), nn.Linear(16, CLASSES))
    x, y = batch()
    got = diagnose(model, x, y, layers=["0", "1"], credit=exact, options=QUICK)
    assert got.metrics["alignment/h00"] == pytest.approx(1) and got.metrics["rho/h00"] > 0.9
    assert got.metrics["growth/max"] < 1  # the first is seen before it is rectified


def test_inputs_that_the_model_changes_in_place_are_as_before():
    model = nn.Sequential(nn.ReLU(inplace=True), nn.Linear(8, 16), nn.Linear(16, CLASSES))
    x, y = batch()
    before = x.clone()
    diagnose(model, x, y, layers=["1"], options=QUICK)
    assert torch.equal(x, before)


class Checkpointed(Mlp):
    """Blocks that are computed again on the way back."""

    def forward(self, x):
        h = self.norm(self.embed(x))
        for block in self.blocks:
            h = checkpoint(block, h, use_reentrant=False)
        return self.head(h)


def test_activation_checkpointing_changes_no_number():
    x, y = batch()
    want = diagnose(seeded(Mlp), x, y, credit=exact, options=QUICK)
    got = diagnose(seeded(Checkpointed), x, y, credit=exact, options=QUICK)
    assert got.metrics == pytest.approx(want.metrics, rel=1e-5)


def test_frozen_models_and_callers_without_gradients():
    model, (x, y) = seeded(Mlp).requires_grad_(False), batch()
    want = diagnose(model, x, y, credit=exact, options=QUICK).metrics
    with torch.no_grad():
        assert diagnose(model, x, y, credit=exact, options=QUICK).metrics == want
        assert not torch.is_grad_enabled()
    with torch.inference_mode():
        x, y = batch()
        assert diagnose(model, x, y, credit=exact, options=QUICK).metrics == want
    with torch.autocast("cpu", torch.bfloat16):
        assert diagnose(model, x, y, credit=exact, options=QUICK).metrics == want
        assert torch.is_autocast_enabled("cpu")


def test_wrapped_models_are_what_they_wrap():
    model, (x, y) = seeded(Mlp).eval(), batch()
    want = diagnose(model, x, y, credit=exact, options=QUICK)
    compiled = torch.compile(model, backend="eager")
    compiled(x)  # hooks that come later are not seen by what is compiled
    for wrapped in (compiled, nn.DataParallel(model)):
        got = diagnose(wrapped, x, y, credit=exact, options=QUICK)
        assert got.metrics == want.metrics and got.layers == want.layers
    model.blocks[1] = torch.compile(model.blocks[1], backend="eager")
    model.blocks[2].compile(backend="eager")
    model(x)
    got = diagnose(model, x, y, credit=exact, options=QUICK)
    assert got.metrics == want.metrics and got.layers == want.layers


def test_recurrent_networks_have_no_dropout_in_evaluation():
    class Deep(Reader):
        def __init__(self, dropout):
            super().__init__()
            self.second = nn.LSTM(12, 12, 2, batch_first=True, dropout=dropout)

    x, y = CASES["lstm"][1], labels(N)
    one, other = (seeded(Deep, dropout) for dropout in (0.0, 0.5))
    want = diagnose(one, x, y, credit=exact, options=QUICK).metrics
    assert diagnose(other, x, y, credit=exact, options=QUICK).metrics == want
    assert other.second.dropout == 0.5


def test_memory_formats_change_no_number():
    model, x, y = seeded(CASES["resnet"][0]), CASES["resnet"][1], labels(N)
    for credit in (exact, "fa"):
        want = diagnose(model, x, y, credit=credit, options=QUICK).metrics
        last = seeded(CASES["resnet"][0]).to(memory_format=torch.channels_last)
        got = diagnose(last, x, y, credit=credit, options=QUICK).metrics
        assert got == pytest.approx(want, rel=1e-3, abs=1e-5)


def test_half_precision_of_weights_is_measured_as_it_is():
    model, (x, y) = seeded(Mlp).bfloat16(), batch()
    got = diagnose(model, x.bfloat16(), y, credit=exact, options=QUICK)
    assert got.metrics["alignment/deep"] == pytest.approx(1, abs=1e-5)
    assert {row["rho_status"] for row in got.rows} == {"unresolved"}
