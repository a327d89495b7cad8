"""The reference trainer against plain autograd, and `networks.resmlp` against the reference."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from credit.networks import arithmetic, resmlp
from tests import reference
from tests.reference import LOCAL_RULES, Recipe, ResMLP

D_IN, WIDTH, CLASSES, DEPTH, BATCH = 7, 6, 5, 3, 4
RULES = ("bp", *LOCAL_RULES)


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=stream(seed), dtype=torch.float64)


def make_params(
    seed: int = 0, alpha: float | None = None, terminal_norm: bool = True
) -> dict[str, Tensor]:
    """Parameters far from their initial values, so that no term is small or exactly 0 or 1."""
    params = resmlp.init(
        D_IN, WIDTH, CLASSES, DEPTH, stream(seed), torch.float64, alpha, terminal_norm
    )
    noise = stream(seed + 1000)
    return {
        name: p
        if name == resmlp.ALPHA
        else p + 0.3 * torch.randn(p.shape, generator=noise, dtype=torch.float64)
        for name, p in params.items()
    }


def make_feedback(rule: str, seed: int = 5) -> Tensor | None:
    columns = {"dfa": CLASSES, "fa": WIDTH}.get(rule)
    return None if columns is None else draw(DEPTH, WIDTH, columns, seed=seed) / columns**0.5


def make_epochs(epochs: int, batches: int = 3) -> list[list[reference.Batch]]:
    """Batches of BATCH samples, the last one of every epoch a single sample short."""
    sizes = [BATCH] * (batches - 1) + [BATCH - 1]
    return [
        [
            (
                draw(size, D_IN, seed=100 * epoch + i),
                torch.randint(CLASSES, (size,), generator=stream(100 * epoch + i)),
            )
            for i, size in enumerate(sizes)
        ]
        for epoch in range(epochs)
    ]


X, Y = make_epochs(1)[0][0]


def close(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-12)


# ------------------------------------------------------------------ the reference itself


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
        close(_grad(model, name), _grad(plain, name))


def _grad(model: ResMLP, name: str) -> Tensor:
    grad = model.get_parameter(name).grad
    assert grad is not None, name
    return grad


@pytest.mark.parametrize("clip", [1e-3, 1.0, math.inf])
def test_reference_clips_blocks_but_neither_embed_nor_head(clip):
    free, clipped = (ResMLP.from_params(make_params()) for _ in range(2))
    feedback = make_feedback("dfa")
    reference.accumulate_gradients(free, X, Y, Recipe("dfa", DEPTH, clip=math.inf), feedback)
    reference.accumulate_gradients(clipped, X, Y, Recipe("dfa", DEPTH, clip=clip), feedback)
    for block in range(DEPTH):
        names = resmlp.block_names(block)
        norm = torch.cat([_grad(free, n).flatten() for n in names]).norm()
        for name in names:
            close(_grad(clipped, name), _grad(free, name) * min(1.0, clip / (norm + 1e-6)))
    for name in ("embed.weight", "embed.bias", *resmlp.HEAD):
        close(_grad(clipped, name), _grad(free, name))


@pytest.mark.parametrize("rule", RULES)
def test_reference_penalty_adds_its_own_gradient_to_blocks_alone(rule):
    def gradients(penalty: float) -> tuple[ResMLP, dict[str, Tensor]]:
        model = ResMLP.from_params(make_params())
        recipe = Recipe(rule, k=DEPTH, penalty=penalty, clip=math.inf)
        reference.accumulate_gradients(model, X, Y, recipe, make_feedback(rule))
        return model, {name: _grad(model, name).clone() for name, _ in model.named_parameters()}

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
        close(_grad(local, name), _grad(exact, name))


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
        grad = _grad(model, name)
        expected = before * (1 - 0.01 * 0.1) - 0.01 * grad / (grad.abs() + 1e-8)
        close(result.params[name], expected)
    assert result.loss[0] == pytest.approx(F.cross_entropy(model(batch[0]), batch[1]).item())


def test_reference_leaves_its_arguments_and_the_global_generator(no_global_generator):
    params = make_params()
    before = {name: p.clone() for name, p in params.items()}
    reference.train(params, make_epochs(1), Recipe(k=1))
    assert all(torch.equal(before[name], p) for name, p in params.items())


# ------------------------------------------------------------------ credit.networks.resmlp


KINDS = {
    "gelu": [{}] * 3,
    "phi, no terminal norm": [{"alpha": a, "terminal_norm": False} for a in (0.25, 0.0, 1.0)],
    "phi": [{"alpha": a} for a in (1.0, 0.5, 0.0)],
    "no terminal norm": [{"terminal_norm": False}] * 3,
}


@pytest.fixture(
    params=[
        *(("gelu", runs) for runs in ("one run", "stack, shared input", "stack")),
        *((kind, runs) for kind in list(KINDS)[1:] for runs in ("one run", "stack")),
    ],
    ids=", ".join,
)
def case(request) -> tuple[resmlp.Params, Tensor, Tensor, list[tuple[ResMLP, Tensor, Tensor]]]:
    """Parameters, inputs and labels as `networks.resmlp` takes them, and run by run beside it."""
    kind, together = request.param
    runs = [make_params(seed, **options) for seed, options in enumerate(KINDS[kind])]
    if together == "one run":
        params = runs[0]
        return params, X, Y, [(ResMLP.from_params(params), X, Y)]
    if together == "stack, shared input":
        xs, ys = [X] * 3, [Y] * 3
        x = X
    else:
        xs = [draw(BATCH, D_IN, seed=seed + 70) for seed in range(3)]
        ys = [Y, Y.flip(0), (Y + 1) % CLASSES]
        x = torch.stack(xs)
    models = [ResMLP.from_params(run) for run in runs]
    return resmlp.stack(runs), x, torch.stack(ys), list(zip(models, xs, ys, strict=True))


def per_run(values: Tensor, runs: list) -> list[Tensor]:
    """One tensor per run, whether `values` has a run dimension or not."""
    return [values] if len(runs) == 1 else list(values.unbind(0))


def check(values: Tensor, expected: list[Tensor]) -> None:
    for value, wanted in zip(per_run(values, expected), expected, strict=True):
        close(value, wanted.detach())


def test_network_forward(case):
    params, x, _, runs = case
    out = resmlp.forward(params, x)
    check(out.logits, [model(x) for model, x, _ in runs])
    assert len(out.hiddens) == DEPTH + 1
    for level, hidden in enumerate(out.hiddens):
        check(hidden, [model.hiddens(x)[level] for model, x, _ in runs])
    for block, trace in enumerate(out.blocks):
        check(trace.out, [model.blocks[block](model.hiddens(x)[block]) for model, x, _ in runs])
    assert torch.equal(resmlp.embed(params, x), out.hiddens[0])


def test_network_tail_from_every_hidden_state(case):
    params, x, _, _ = case
    out = resmlp.forward(params, x)
    for level, hidden in enumerate(out.hiddens):
        close(resmlp.tail(params, hidden, level), out.logits)


def test_network_output_error_is_the_gradient_at_the_logits(case):
    params, x, y, runs = case
    expected = []
    for model, inputs, labels in runs:
        logits = model(inputs).detach().requires_grad_()
        F.cross_entropy(logits, labels, reduction="sum").backward()
        assert logits.grad is not None
        expected.append(logits.grad)
    check(resmlp.output_error(resmlp.forward(params, x).logits, y), expected)


def test_network_hidden_gradients(case):
    params, x, y, runs = case
    out = resmlp.forward(params, x)
    grads = resmlp.hidden_gradients(params, out, resmlp.output_error(out.logits, y) / BATCH)
    expected = [reference.hidden_gradients(*run) for run in runs]
    assert len(grads) == DEPTH + 1
    for level, grad in enumerate(grads):
        check(grad, [of_run[level] for of_run in expected])


def test_network_head_grads_and_input_vjp(case):
    params, x, y, runs = case
    out = resmlp.forward(params, x)
    error = resmlp.output_error(out.logits, y) / BATCH
    grads = resmlp.head_grads(params, out.last, error)
    assert tuple(grads) == resmlp.head_names(params)
    assert set(grads) == {name for name in params if name.startswith("out_")}
    at_input = []
    for model, inputs, labels in runs:
        hidden = model.hiddens(inputs)[-1].detach().requires_grad_()
        F.cross_entropy(model.head(hidden), labels).backward()
        assert hidden.grad is not None
        at_input.append(hidden.grad)
    for name, grad in grads.items():
        check(grad, [_grad(model, name) for model, _, _ in runs])
    check(resmlp.head_input_vjp(params, out.last, error), at_input)


@pytest.mark.parametrize("block", range(DEPTH))
def test_network_block_grads_and_input_vjp(case, block):
    """Both against autograd of <f_l(h_l), c> and <h_l + f_l(h_l), c> for a random c."""
    params, x, _, runs = case
    trace = resmlp.block_forward(params, block, resmlp.forward(params, x).hiddens[block])
    cotangent = draw(*trace.out.shape, seed=33)
    grads = resmlp.block_grads(params, block, trace, cotangent)
    assert tuple(grads) == resmlp.block_names(block)
    at_input = []
    for (model, inputs, _), c in zip(runs, per_run(cotangent, runs), strict=True):
        hidden = model.hiddens(inputs)[block].detach().requires_grad_()
        (model.blocks[block](hidden) * c).sum().backward()
        assert hidden.grad is not None
        at_input.append(hidden.grad + c)
    for name, grad in grads.items():
        check(grad, [_grad(model, name) for model, _, _ in runs])
    check(resmlp.block_input_vjp(params, block, trace, cotangent), at_input)


def test_network_names_are_the_module_s():
    for options in ({}, {"alpha": 0.3}, {"terminal_norm": False}):
        params, model = make_params(**options), ResMLP(D_IN, WIDTH, CLASSES, DEPTH, **options)
        assert set(params) - {resmlp.ALPHA} == set(model.state_dict())
        assert (resmlp.ALPHA in params) == ("alpha" in options)
        assert resmlp.depth_of(params) == DEPTH


def test_phi_is_linear_at_alpha_0_and_tanh_at_1():
    pre = draw(BATCH, WIDTH)

    def phi(alpha: float | list[float], z: Tensor) -> Tensor:
        return resmlp.activate({resmlp.ALPHA: torch.tensor(alpha).double()}, z)

    assert torch.equal(phi(0.0, pre), pre)
    close(phi(1.0, pre), pre.tanh())
    for alpha in (0.0, 0.25, 0.5, 1.0):
        close(phi(alpha, pre), (1 - alpha) * pre + alpha * pre.tanh())
    stacked = phi([0.0, 1.0], pre.expand(2, -1, -1))  # a run each
    close(stacked, torch.stack([pre, pre.tanh()]))


def test_a_block_of_a_linear_network_is_linear_in_its_standardised_state():
    params = make_params(alpha=0.0)
    h = draw(2, WIDTH)
    one, other = (resmlp.standardise(row[None]).out for row in h)
    between = 0.3 * one + 0.7 * other  # a standardised state of another scale
    names = resmlp.block_names(0)
    free = params | {names[0]: params[names[0]] * 0}  # scale 0: what does not depend on the state
    constant = resmlp.block_forward(free, 0, h[:1]).out
    first, second = (resmlp.block_forward(params, 0, row[None]).out for row in h)
    at_between = resmlp.block_forward(params, 0, between).out - constant
    spread = (between.square().mean() - between.mean().square() + arithmetic.LN_EPS).sqrt()
    close(at_between * spread, 0.3 * (first - constant) + 0.7 * (second - constant))


def test_networks_of_one_seed_differ_in_their_kind_alone():
    """Same draws with and without phi and terminal norm: differences are the kind's."""
    base = resmlp.init(D_IN, WIDTH, CLASSES, DEPTH, stream(), torch.float64)
    for alpha, terminal_norm in ((0.5, True), (None, False), (0.0, False)):
        other = resmlp.init(
            D_IN, WIDTH, CLASSES, DEPTH, stream(), torch.float64, alpha, terminal_norm
        )
        shared = other.keys() & base.keys()
        assert all(torch.equal(base[name], other[name]) for name in shared)
        assert base.keys() - shared == (set() if terminal_norm else set(resmlp.HEAD[:2]))
        assert other.keys() - shared == (set() if alpha is None else {resmlp.ALPHA})


def test_network_init_has_the_distributions_of_torch_s_default():
    """Same bounds and spread as nn.Linear and LayerNorm; fc2 N(0, 0.01^2) with bias 0."""
    width, d_in = 128, 300
    params = resmlp.init(d_in, width, CLASSES, 2, stream(), torch.float32)
    default = ResMLP(d_in, width, CLASSES, 2).state_dict()
    for name, p in params.items():
        assert p.shape == default[name].shape, name
        if ".fc2." in name:
            spread = 0.01 if name.endswith("weight") else 0.0
            assert p.std().item() == pytest.approx(spread, rel=0.05)
            assert p.abs().max() < 0.06
        elif "ln." in name:
            assert torch.equal(p, default[name]), name
        else:
            bound = (d_in if name.startswith("embed") else width) ** -0.5
            assert 0.3 * bound < p.abs().max() <= bound, name
            if p.numel() > 1000:
                assert p.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.03), name
                assert p.abs().max() > 0.99 * bound, name


# ------------------------------------------------------------------ it learns


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
        batches = [[(x[i], y[i]) for i in train.split(64)]] * 10
        result = reference.train(params, batches, Recipe(rule, k=depth), feedback)
        assert result.accuracy[-1] > result.accuracy[0]
        predicted = ResMLP.from_params(result.params)(x[test]).argmax(-1)
        accuracy[rule] = (predicted == y[test]).double().mean().item()
    assert min(accuracy.values()) > 0.4, accuracy
    assert accuracy["bp"] > 0.9, accuracy
