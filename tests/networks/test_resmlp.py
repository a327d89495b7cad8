"""`networks.resmlp` against the reference, in every kind of network."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from credit.networks import arithmetic, base, resmlp
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
from tests.reference import ResMLP
from tests.stacks import close, draw

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
    return base.stacked(runs), x, torch.stack(ys), list(zip(models, xs, ys, strict=True))


def per_run(values: Tensor, runs: list) -> list[Tensor]:
    """One tensor per run, whether `values` has a run dimension or not."""
    return [values] if len(runs) == 1 else list(values.unbind(0))


def check(values: Tensor, expected: list[Tensor]) -> None:
    close(per_run(values, expected), [wanted.detach() for wanted in expected])


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
    check(arithmetic.output_error(resmlp.forward(params, x).logits, y), expected)


def test_network_hidden_gradients(case):
    params, x, y, runs = case
    out = resmlp.forward(params, x)
    grads = resmlp.hidden_gradients(params, out, arithmetic.output_error(out.logits, y) / BATCH)
    expected = [reference.hidden_gradients(*run) for run in runs]
    assert len(grads) == DEPTH + 1
    for level, grad in enumerate(grads):
        check(grad, [of_run[level] for of_run in expected])


def test_network_head_grads_and_input_vjp(case):
    params, x, y, runs = case
    out = resmlp.forward(params, x)
    error = arithmetic.output_error(out.logits, y) / BATCH
    grads = resmlp.head_grads(params, out.last, error)
    assert tuple(grads) == tuple(name for name in resmlp.HEAD if name in params)
    assert set(grads) == {name for name in params if name.startswith("out_")}
    at_input = []
    for model, inputs, labels in runs:
        hidden = model.hiddens(inputs)[-1].detach().requires_grad_()
        F.cross_entropy(model.head(hidden), labels).backward()
        assert hidden.grad is not None
        at_input.append(hidden.grad)
    for name, grad in grads.items():
        check(grad, [grad_of(model, name) for model, _, _ in runs])
    check(resmlp.head_input_vjp(params, out.last, error), at_input)


@pytest.mark.parametrize("block", range(DEPTH))
def test_network_block_grads_and_input_vjp(case, block):
    """Both against autograd of <f_l(h_l), c> and <h_l + f_l(h_l), c> for a random c."""
    params, x, _, runs = case
    run = resmlp.forward(params, x)
    trace = run.blocks[block]
    cotangent = draw(*trace.out.shape, seed=33)
    grads = resmlp.block_grads(params, run.blocks, [(block, ...)], [cotangent] * DEPTH)
    at_input = []
    for (model, inputs, _), c in zip(runs, per_run(cotangent, runs), strict=True):
        hidden = model.hiddens(inputs)[block].detach().requires_grad_()
        (model.blocks[block](hidden) * c).sum().backward()
        assert hidden.grad is not None
        at_input.append(hidden.grad + c)
    for name, grad in zip(resmlp.block_names(block), grads, strict=True):
        check(grad, [grad_of(model, name) for model, _, _ in runs])
    check(resmlp.block_input_vjp(params, block, trace, cotangent)[0], at_input)


def test_block_grads_of_exact_gradients_take_what_these_left_behind(case):
    params, x, y, _ = case
    run = resmlp.forward(params, x)
    error = arithmetic.output_error(run.logits, y) / BATCH
    cotangents = resmlp.hidden_gradients(params, run, error)[1:]
    for block in range(DEPTH):
        parts = [(block, ...)]
        anew = resmlp.block_grads(params, run.blocks, parts, cotangents)
        kept = resmlp.block_grads(params, run.blocks, parts, cotangents, run.at_pre)
        assert all(map(torch.equal, kept, anew))


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_of_several_blocks_at_once_are_those_of_each(kind):
    params = base.stacked([make_params(seed, **each) for seed, each in enumerate(KINDS[kind])])
    run = resmlp.forward(params, X)
    cotangents = [draw(*trace.out.shape, seed=block) for block, trace in enumerate(run.blocks)]
    parts = [(0, slice(1, 3)), (DEPTH - 1, slice(0, 1)), (DEPTH - 1, slice(2, 3))]
    each = [resmlp.block_grads(params, run.blocks, [part], cotangents) for part in parts]
    together = resmlp.block_grads(params, run.blocks, parts, cotangents)
    for grad, *own in zip(together, *each, strict=True):
        close(grad, torch.cat(own))


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


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(1, 256), (3, 128, 10), (2, 5, 1)])
def test_standardise_has_the_bits_of_a_layer_norm_without_affine_part(dtype, shape):
    h = 100 * torch.randn(shape, dtype=dtype, generator=stream())
    expected = torch.native_layer_norm(h, shape[-1:], None, None, arithmetic.LN_EPS)
    out, inputs, mean, rstd = arithmetic.standardise(h)
    assert inputs is h and all(map(torch.equal, (out, mean, rstd), expected))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("runs", [1, 3])
def test_weight_grad_is_the_sum_over_samples_of_outer_products(runs, dtype):
    source = stream()
    error, inputs = (torch.randn(runs, 40, n, generator=source) for n in (5, 7))
    found = arithmetic.weight_grad(error, inputs, dtype)
    assert found.shape == (runs, 5, 7) and found.dtype == torch.float32
    lowered = (t.to(dtype).double() for t in (error, inputs))
    expected = torch.einsum("rno,rni->roi", *lowered)
    torch.testing.assert_close(found.double(), expected, rtol=2 * torch.finfo(dtype).eps, atol=1e-4)
