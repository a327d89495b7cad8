"""Torch modules train as the hand-derived network does, and as autograd says."""

import pytest
import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional as F

from credit import rules
from credit.data import Dataset, load
from credit.errors import CreditError
from credit.networks import kinds
from credit.networks.forms import folded, form_of
from credit.networks.module import seeded
from credit.spec import RunSpec
from credit.sweep.sweep import resolve
from credit.training.checkpoint import save_stack
from credit.training.loop import train as train_epochs
from credit.training.measuring import evaluate, measure_held_out
from credit.training.stack import Stack, arrange
from tests.networks import modules
from tests.stacks import assert_same_bits, assert_same_stacks, close, contents, draw, train
from tests.stacks import batches as make_batches
from tests.training.checkpoints import restored
from tests.traps import refused

IMAGE, CLASSES, WIDTH, DEPTH, N = (1, 8, 8), 5, 8, 3, 6
MODULES = [name for name in kinds.available() if name != "resmlp"]
PLAIN = ("bp", "oracle", "fa", "dfa")


def spec(network: str, rule: str = "bp", **changes) -> RunSpec:
    base = {"dataset": "digits", "network": network, "rule": rule, "width": WIDTH, "depth": DEPTH}
    base |= {"k": DEPTH, "device": "cpu", "precision": "fp64", "augment": False, "batch_size": N}
    return resolve(RunSpec.from_mapping({**base, **changes}))


def stack_of(specs: list[RunSpec], classes: int = CLASSES) -> Stack:
    return Stack(arrange(specs), kinds.shape_of(specs[0], IMAGE, classes))


def batches(epochs: int = 2):
    shape = kinds.shape_of(spec("resmlp"), IMAGE, CLASSES)
    return make_batches(shape, (N, N, 4), epochs)


def test_resmlp_as_a_module_equals_the_hand_derived_one_step_for_step():
    """In float64: parameters, moments, accuracy and everything that is measured."""
    own = f"{modules.__name__}:resmlp"
    runs = [(rule, k) for rule in (*PLAIN, "credit_bridge") for k in (0, 1, DEPTH)]
    by_hand = stack_of([spec("resmlp", rule, k=k) for rule, k in runs])
    by_autograd = stack_of([spec(own, rule, k=k) for rule, k in runs])
    by_place = {(s.rule, s.k): row for row, s in enumerate(by_autograd.specs)}
    names = {"embed.1": "embed", "head.0": "out_ln", "head.1": "out_head", "inner.": ""}

    def renamed(name: str) -> str:
        for long, short in names.items():
            name = name.replace(long, short)
        return name

    for name, value in by_autograd.params.items():
        for row, one in enumerate(by_hand.specs):
            value[by_place[one.rule, one.k]] = by_hand.params[renamed(name)][row]
    for stack in (by_hand, by_autograd):
        train(stack, batches())
    for row, one in enumerate(by_hand.specs):
        expected = contents(by_hand, row)
        for name, value in contents(by_autograd, by_place[one.rule, one.k]).items():
            close(value, expected[renamed(name)], rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("network", MODULES)
def test_backprop_is_autograd_through_the_whole_module(network):
    one = spec(network)
    stack = stack_of([one])
    shape = stack.shape
    (x, y), *_ = batches()[0]
    module = seeded(kinds._made(network, shape, dict.fromkeys(kinds._OPTIONAL, None) | SETTINGS), 0)
    start = {name: p[0].clone().requires_grad_() for name, p in stack.params.items()}
    parts = {
        part: {
            name.removeprefix(f"{part}."): p
            for name, p in start.items()
            if name.startswith(f"{part}.")
        }
        for part in ("embed", *(f"blocks.{block}" for block in range(DEPTH)), "head")
    }
    state, native = x.unflatten(1, IMAGE), []
    module.double()
    for name, own in parts.items():
        state = functional_call(module.get_submodule(name), own, (state,))
        native.append(state)
    *hiddens, logits = native
    loss = F.cross_entropy(logits, y)
    exact = torch.autograd.grad(loss, [*start.values(), *hiddens])
    stack.step(x, y)
    for (name, _), grad in zip(start.items(), exact, strict=False):
        close(stack.moments[name][0][0] / 0.1, grad, rtol=1e-8, atol=1e-12)

    other = stack_of([one])
    run = other.network.forward(other.params, x)
    error = (logits.softmax(-1) - F.one_hot(y, CLASSES)).detach().unsqueeze(0) / len(y)
    found = other.network.hidden_gradients(other.params, run, error)
    for layer, (h, g) in enumerate(zip(hiddens, exact[len(start) :], strict=True)):
        assert form_of(h) == shape.layer(layer)
        close(folded(run.hiddens[layer][0], shape.layer(layer)), h.detach())
        close(folded(found[layer][0], shape.layer(layer)), g)


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load("digits", "cpu")


SETTINGS = {"activation": "gelu", "alpha": 1.0, "terminal_norm": True}


@pytest.mark.parametrize("network", MODULES)
def test_frozen_blocks_are_bit_identical_and_a_stack_is_its_runs(network):
    specs = arrange([spec(network, rule, k=k) for rule in PLAIN for k in (0, 2)])
    stack = stack_of(specs)
    before = {name: p.clone() for name, p in stack.params.items()}
    train(stack, batches())
    for row, one in enumerate(stack.specs):
        for name, value in stack.params.items():
            frozen = name.startswith("blocks.") and int(name.split(".")[1]) < DEPTH - one.k
            assert torch.equal(value[row], before[name][row]) == frozen, (one.name, name)
    for row in (0, 3, len(specs) - 1):
        alone = train(stack_of([specs[row]]), batches())
        for name, value in contents(alone).items():
            close(contents(stack, row)[name], value, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("network", MODULES)
def test_runs_go_on_bit_for_bit_and_are_measured(network, tmp_path, digits: Dataset):
    """Two epochs and two more are four; the exact rules are exact at every layer."""
    changes = {"precision": "fp32", "epochs": 3, "measure_samples": 32, "batch_size": 256}
    specs = arrange([spec(network, r, directions=2, **changes) for r in ("oracle", "fa", "dfa")])
    through, first = stack_of(specs, 10), stack_of(specs, 10)
    list(train_epochs(through, digits))
    epochs = train_epochs(first, digits)
    next(epochs)
    path = tmp_path / "stack.safetensors"
    save_stack(first, 1, path)
    epochs.close()
    second = restored(path, specs, first.shape)
    assert_same_stacks(second, first)
    list(train_epochs(second, digits, start_epoch=1))
    assert_same_stacks(second, through)
    for one, report in zip(second.specs, measure_held_out(second, digits), strict=True):
        exact = {"oracle": DEPTH + 1, "fa": 1, "dfa": 0}[one.rule]
        gammas = [report.metrics[f"alignment/h{layer:02d}"] for layer in range(DEPTH + 1)]
        assert sum(abs(gamma - 1) < 1e-6 for gamma in gammas) == exact
        assert len(report.layers) == DEPTH + 1


@pytest.mark.parametrize("network", MODULES)
def test_vmap_over_the_runs_is_the_loop_over_them(network):
    stack = stack_of([spec(network, seed=seed) for seed in (1, 2)])
    (x, _), *_ = batches()[0]
    error = draw(2, N, CLASSES)
    results = []
    for lift in (False, True):
        stack.network._lift = lift
        run = stack.network.forward(stack.params, x)
        grads = stack.network.hidden_gradients(stack.params, run, error)
        block = stack.network.block_grads(stack.params, run, [(1, slice(0, 2))], grads[1:])
        results.append([run.logits, *grads, *block])
    close(results[1], results[0], rtol=1e-9)


@pytest.mark.parametrize("network", ["mlp", "vit_mini", "small_cnn", "small_resnet"])
def test_replaced_weights_act_on_the_way_back_alone(network):
    stack = stack_of([spec(network)])
    net, params = stack.network, {name: p[0] for name, p in stack.params.items()}
    (x, _), *_ = batches()[0]
    run = net.forward(stack.params, x)
    error = draw(1, N, CLASSES)
    exact = net.hidden_gradients(stack.params, run, error)
    block = 1
    h, above = run.hiddens[block][0], exact[block + 1][0]
    true = {name: params[name] for name in net.matrices(block)}
    assert true
    close(net.pull(params, h, block, above, true), exact[block][0])
    other = {name: draw(*w.shape, seed=1) for name, w in true.items()}
    assert not torch.allclose(net.pull(params, h, block, above, other), exact[block][0])
    close(net.pull(params, h, block, above, {}), exact[block][0])


@pytest.mark.usefixtures("no_global_generator")
def test_initialisation_is_the_seed_s():
    one, same, other = (stack_of([spec("mlp", seed=seed)]) for seed in (1, 1, 2))
    assert_same_bits(contents(one), contents(same))
    assert not torch.equal(one.params["embed.1.weight"], other.params["embed.1.weight"])


def test_evaluation_is_what_the_module_says(digits: Dataset):
    stack = stack_of([spec("vit_mini", seed=seed) for seed in (1, 2)], 10)
    x = draw(20, 64)
    logits: Tensor = stack.network.logits(stack.params, x)
    y = logits[0].argmax(-1)
    accuracy = evaluate(stack.network, stack.params, x, y)
    assert accuracy[0] == 1 and accuracy[1] == (logits[1].argmax(-1) == y).double().mean()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("dropping", "random numbers"),
        ("remembering", "blocks.0.running_mean"),
        ("tied", "shares blocks.1.0.weight"),
        ("loose", "extra"),
        ("fixed", "takes no gradient"),
        ("headless", "no embed"),
        ("few_logits", "returns (2, 4)"),
        ("shallow", "--depth 2"),
        ("misfit", "blocks.1"),
        ("failing", "not today"),
        ("missing", "cannot load"),
    ],
)
def test_a_module_that_is_no_network_is_refused_in_one_line(name, words):
    refused(lambda: kinds.shape_of(spec(f"{modules.__name__}:{name}"), IMAGE, CLASSES), words)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"network": "mlp", "terminal_norm": False}, "terminal_norm"),
        ({"network": "small_cnn", "activation": "tanh"}, "activation"),
        ({"network": "resmlp", "activation": "relu"}, "activation"),
        ({"network": "vit_mini", "penalty": 0.1}, "penalty"),
        ({"network": "mlp", "precision": "bf16"}, "precision"),
        ({"network": "resnet"}, "network"),
    ],
)
def test_settings_that_a_network_does_not_read_are_refused(changes, words):
    with pytest.raises(CreditError, match=words):
        spec(**changes)


def test_runs_of_another_alpha_are_in_another_stack():
    """But for resmlp, which holds one for each run."""
    changes = {"activation": "phi", "precision": "fp32"}
    for network, shared in (("mlp", False), ("resmlp", True)):
        keys = {spec(network, alpha=alpha, **changes).stack_key for alpha in (0.0, 1.0)}
        assert (len(keys) == 1) == shared


def test_a_weight_that_no_module_call_uses_cannot_be_replaced():
    """Else a rule with feedback of its own would be backpropagation, and nobody told."""
    stack = stack_of([spec(f"{modules.__name__}:functional", "fa_layerwise")])
    (x, y), *_ = batches()[0]
    with pytest.raises(CreditError, match=r"blocks\.1\.fc\.weight"):
        stack.step(x, y)


@pytest.mark.parametrize("precision", ["fp32", "fp64"])
def test_blocks_without_parameters_with_buffers_and_batch_statistics(precision, digits: Dataset):
    changes = {"precision": precision, "measure_samples": 32, "directions": 2, "batch_size": 256}
    changes["epochs"] = 1
    specs = [spec(f"{modules.__name__}:odd_blocks", rule, **changes) for rule in PLAIN]
    stack = stack_of(specs, 10)
    (records,) = train_epochs(stack, digits)
    assert all(record.metrics["agreement/min"] > 0.99 for record in records)
    assert kinds.sizes(specs[0], stack.shape).blocks[:2] == [0, 0]
    assert not any(name.startswith(("blocks.0", "blocks.1")) for name in stack.params)


def test_learned_rules_refuse_states_of_several_forms():
    one = spec("small_cnn", "state_bridge")
    with pytest.raises(CreditError, match="network=small_cnn"):
        rules.of(one).check(one, kinds.shape_of(one, IMAGE, CLASSES))
