"""The reference trainer against plain autograd."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from credit.networks import resmlp
from credit.rules import Shape
from tests import reference
from tests.networks.made import (
    BATCH,
    CLASSES,
    D_IN,
    DEPTH,
    WIDTH,
    X,
    Y,
    grad_of,
    make_params,
    stream,
)
from tests.reference import LOCAL_RULES, Recipe, ResMLP
from tests.stacks import batches, close, draw

RULES = ("bp", *LOCAL_RULES)


def make_feedback(rule: str, seed: int = 5) -> Tensor | None:
    columns = {"dfa": CLASSES, "fa": WIDTH}.get(rule)
    return None if columns is None else draw(DEPTH, WIDTH, columns, seed=seed) / columns**0.5


def make_epochs(epochs: int) -> list[list[reference.Batch]]:
    """The last batch of every epoch is a single sample short."""
    shape = Shape(D_IN, WIDTH, CLASSES, DEPTH)
    return batches(shape, (BATCH, BATCH, BATCH - 1), epochs)


def test_reference_network_is_the_formula():
    """Written out with matrices, one sample at a time."""
    p = make_params()

    def layer_norm(v: Tensor, name: str) -> Tensor:
        centred = v - v.mean()
        return (
            centred / (centred.square().mean() + 1e-5).sqrt() * p[f"{name}.weight"]
            + p[f"{name}.bias"]
        )

    rows = []
    for x in X:
        h = p["embed.weight"] @ x + p["embed.bias"]
        for b in (f"blocks.{i}" for i in range(DEPTH)):
            z = p[f"{b}.fc1.weight"] @ layer_norm(h, f"{b}.ln") + p[f"{b}.fc1.bias"]
            gelu = z * 0.5 * (1 + torch.erf(z / math.sqrt(2)))
            h = h + p[f"{b}.fc2.weight"] @ gelu + p[f"{b}.fc2.bias"]
        rows.append(p["out_head.weight"] @ layer_norm(h, "out_ln") + p["out_head.bias"])
    close(ResMLP.from_params(p)(X), torch.stack(rows))


def test_reference_bp_gradients_are_those_of_the_loss():
    """All of them by finite differences along one random direction, and by autograd."""
    params = make_params()
    model = ResMLP.from_params(params)
    reference.accumulate_gradients(model, X, Y, Recipe(k=DEPTH))
    grads = {name: p.grad for name, p in model.named_parameters()}

    plain = ResMLP.from_params(params)
    expected = torch.autograd.grad(F.cross_entropy(plain(X), Y), list(plain.parameters()))
    for (name, _), value in zip(plain.named_parameters(), expected, strict=True):
        grad = grads[name]
        assert grad is not None
        close(grad, value)

    direction = make_params(seed=9)
    eps = 1e-6
    up, down = (
        F.cross_entropy(
            ResMLP.from_params({n: p + sign * eps * direction[n] for n, p in params.items()})(X), Y
        )
        for sign in (1, -1)
    )
    slope = sum((g * direction[n]).sum() for n, g in grads.items() if g is not None)
    torch.testing.assert_close((up - down) / (2 * eps), slope, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("k", [0, 1, DEPTH])
def test_reference_trains_the_last_k_blocks_only(rule, k):
    params = make_params()
    trained = reference.train(params, make_epochs(2), Recipe(rule, k=k), make_feedback(rule)).params
    for name, before in params.items():
        frozen = name.startswith("blocks.") and int(name.split(".")[1]) < DEPTH - k
        assert torch.equal(before, trained[name]) == frozen, name


@pytest.mark.parametrize("rule", LOCAL_RULES)
def test_reference_local_head_gradient_is_exact(rule):
    params = make_params()
    model, plain = ResMLP.from_params(params), ResMLP.from_params(params)
    reference.accumulate_gradients(model, X, Y, Recipe(rule, k=DEPTH), make_feedback(rule))
    F.cross_entropy(plain(X), Y).backward()
    for name in resmlp.HEAD:
        close(grad_of(model, name), grad_of(plain, name))


@pytest.mark.parametrize("clip", [1e-3, 1.0, math.inf])
def test_reference_clips_blocks_but_neither_embed_nor_head(clip):
    free, clipped = (ResMLP.from_params(make_params()) for _ in range(2))
    feedback = make_feedback("dfa")
    reference.accumulate_gradients(free, X, Y, Recipe("dfa", DEPTH, clip=math.inf), feedback)
    reference.accumulate_gradients(clipped, X, Y, Recipe("dfa", DEPTH, clip=clip), feedback)
    for block in range(DEPTH):
        names = resmlp.block_names(block)
        norm = torch.cat([grad_of(free, n).flatten() for n in names]).norm()
        for name in names:
            close(grad_of(clipped, name), grad_of(free, name) * min(1.0, clip / (norm + 1e-6)))
    for name in ("embed.weight", "embed.bias", *resmlp.HEAD):
        close(grad_of(clipped, name), grad_of(free, name))


@pytest.mark.parametrize("rule", RULES)
def test_reference_penalty_adds_its_own_gradient_to_blocks_alone(rule):
    def gradients(penalty: float) -> tuple[ResMLP, dict[str, Tensor]]:
        model = ResMLP.from_params(make_params())
        recipe = Recipe(rule, k=DEPTH, penalty=penalty, clip=math.inf)
        reference.accumulate_gradients(model, X, Y, recipe, make_feedback(rule))
        return model, {name: grad_of(model, name).clone() for name, _ in model.named_parameters()}

    _, without = gradients(0.0)
    model, with_penalty = gradients(0.5)
    states = [h.detach() for h in model.hiddens(X)]
    for name, grad in with_penalty.items():
        expected = without[name]
        if name.startswith("blocks."):
            block = int(name.split(".")[1])
            # the block's output by another route: the difference of two hidden states
            output = states[block] + model.blocks[block](states[block]) - states[block]
            loss = 0.5 * output.square().sum() / BATCH
            expected = expected + torch.autograd.grad(loss, model.get_parameter(name))[0]
        close(grad, expected)


def test_reference_oracle_without_normalisation_would_be_bp(monkeypatch):
    """With norm taken away and the mean's 1/N undone, the surrogate's gradient is the exact one."""
    monkeypatch.setattr(reference, "normalise", lambda credit, eps: credit * len(credit))
    local, exact = (ResMLP.from_params(make_params()) for _ in range(2))
    reference.accumulate_gradients(local, X, Y, Recipe("oracle", DEPTH, clip=math.inf))
    reference.accumulate_gradients(exact, X, Y, Recipe("bp", DEPTH))
    for name, _ in local.named_parameters():
        close(grad_of(local, name), grad_of(exact, name))


@pytest.mark.parametrize("rule", LOCAL_RULES)
def test_reference_reduction_scales_credit_by_the_batch(rule):
    model = ResMLP.from_params(make_params())
    by_mean, by_sum, published = (
        reference.credits(model, X, Y, Recipe(rule, credit_reduction=r), make_feedback(rule))[0]
        for r in ("mean", "sum", "published")
    )
    for mean, whole, default in zip(by_mean, by_sum, published, strict=True):
        close(mean * BATCH, whole)
        close(default, whole if rule == "dfa" else mean)


def test_reference_credit_of_each_rule():
    model = ResMLP.from_params(make_params())
    exact = reference.hidden_gradients(model, X, Y)
    error = model(X).softmax(-1).detach() - F.one_hot(Y, CLASSES)
    for rule in LOCAL_RULES:
        feedback = make_feedback(rule)
        assigned, blocks, at_embed = reference.credits(model, X, Y, Recipe(rule), feedback)
        assert len(assigned) == DEPTH + 1
        close(at_embed, assigned[0])
        if feedback is not None and rule == "dfa":
            for block in range(DEPTH):
                for n in range(BATCH):
                    close(blocks[block][n], feedback[block] @ error[n])
            close(assigned[-1], blocks[-1])
            continue
        close(assigned[-1], exact[-1])
        for block in range(DEPTH):
            close(blocks[block], assigned[block + 1])
            for n in range(BATCH):
                above = assigned[block + 1][n]
                expected = exact[block][n] if feedback is None else feedback[block] @ above
                close(assigned[block][n], expected)


def test_reference_normalise():
    v = draw(3, WIDTH) * torch.tensor([[1.0], [1e-6], [0.0]])
    out = reference.normalise(v, 1e-6)
    for row, credit in zip(out, v, strict=True):
        rms = math.sqrt(sum(float(c) ** 2 for c in credit) / WIDTH)
        close(row, credit / (rms + 1e-6))


def test_reference_schedule_falls_from_lr_towards_zero():
    rates = [reference.learning_rate(0.1, epoch, 10) for epoch in range(11)]
    assert rates[0] == 0.1
    assert rates[5] == pytest.approx(0.05)
    assert rates[10] == pytest.approx(0.0)
    assert rates == sorted(rates, reverse=True)


def test_reference_first_step_is_adamw_by_hand():
    """After one step of Adam every moment ratio is the gradient's sign, but for its epsilon."""
    params, (batch, *_) = make_params(), make_epochs(1)[0]
    model = ResMLP.from_params(params)
    recipe = Recipe(k=DEPTH, lr=0.01, weight_decay=0.1)
    reference.accumulate_gradients(model, *batch, recipe)
    result = reference.train(params, [[batch]], recipe)
    for name, before in params.items():
        grad = grad_of(model, name)
        expected = before * (1 - 0.01 * 0.1) - 0.01 * grad / (grad.abs() + 1e-8)
        close(result.params[name], expected)
    assert result.loss[0] == pytest.approx(F.cross_entropy(model(batch[0]), batch[1]).item())


def test_reference_leaves_its_arguments_and_the_global_generator(no_global_generator):
    params = make_params()
    before = {name: p.clone() for name, p in params.items()}
    reference.train(params, make_epochs(1), Recipe(k=1))
    assert all(torch.equal(before[name], p) for name, p in params.items())


@pytest.mark.slow
def test_reference_learns_digits():
    """On the 8 x 8 digits bp gets nearly all right, every rule four times chance (.10) or more."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    x, y = torch.tensor(images) / 16 - 0.5, torch.tensor(labels)
    order = torch.randperm(len(x), generator=stream())
    train, test = order[:1400], order[1400:]
    width, depth = 32, 2
    accuracy = {}
    for rule in RULES:
        params = resmlp.init(64, width, 10, depth, stream(), torch.float64)
        columns = {"dfa": 10, "fa": width}.get(rule, 1)
        feedback = draw(depth, width, columns) / columns**0.5
        data = [[(x[i], y[i]) for i in train.split(64)]] * 10
        result = reference.train(params, data, Recipe(rule, k=depth), feedback)
        assert result.accuracy[-1] > result.accuracy[0]
        predicted = ResMLP.from_params(result.params)(x[test]).argmax(-1)
        accuracy[rule] = (predicted == y[test]).double().mean().item()
    assert min(accuracy.values()) > 0.4, accuracy
    assert accuracy["bp"] > 0.9, accuracy
