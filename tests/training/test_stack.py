"""The stack against the plain reference loop, and what its runs may not depend on."""

import pytest
import torch

from credit.networks import resmlp
from credit.rules import Shape
from credit.spec import RunSpec
from credit.training.lane import runs_of
from credit.training.loop import learning_rate
from credit.training.stack import Stack, arrange
from tests import reference, stacks
from tests.stacks import train

SHAPE = Shape(12, 8, 5, 3)
EPOCHS, STEPS = 2, 4
RULES = ("bp", "oracle", "fa", "dfa")
NONE = torch.empty(0)


def spec(rule: str = "bp", **changes) -> RunSpec:
    return stacks.spec(rule, SHAPE, **{"epochs": EPOCHS, **changes})


def batches(seed: int = 0) -> list[list[reference.Batch]]:
    """The last batch of an epoch is short."""
    return stacks.batches(SHAPE, [7] * (STEPS - 1) + [3], EPOCHS, seed)


def run_params(stack: Stack, row: int) -> resmlp.Params:
    return {name: p[row].clone() for name, p in stack.params.items()}


def reference_of(one: RunSpec, stack: Stack, start: resmlp.Params, row: int, data):
    recipe = reference.Recipe(**{name: getattr(one, name) for name in reference.Recipe._fields})
    return reference.train(start, data, recipe, stack.rule_state(row).get("feedback"))


VARIANTS = [
    *[spec(rule=rule, k=k) for rule in RULES for k in range(4)],
    spec(rule="bp", penalty=0.3),
    spec(rule="dfa", penalty=0.3, k=2),
    spec(rule="fa", credit_eps=0.1),
    spec(rule="fa", credit_reduction="sum", credit_eps=1e-3),
    spec(rule="dfa", credit_reduction="mean", credit_eps=0.05),
    spec(rule="oracle", penalty=0.01, k=1),
]


PHI = [
    spec(rule=rule, k=k, alpha=alpha)
    for rule in RULES
    for k, alpha in ((3, 0.0), (3, 1.0), (2, 0.25))
]


@pytest.fixture(params=[False, True], ids=["block by block", "all blocks at once"])
def at_once(request, monkeypatch) -> None:
    """Block gradients as a CPU takes them, and as a GPU does."""
    monkeypatch.setattr("credit.training.lane.recorded", lambda device: request.param)


def assert_equal_to_the_reference(specs: list[RunSpec]) -> None:
    stack, data = Stack(specs, SHAPE), batches()
    starts = [run_params(stack, row) for row in range(stack.size)]
    train(stack, data)
    for row, one in enumerate(specs):
        expected = reference_of(one, stack, starts[row], row, data).params
        trained = run_params(stack, row)
        assert torch.equal(trained.pop(resmlp.ALPHA, NONE), starts[row].get(resmlp.ALPHA, NONE))
        assert trained.keys() == expected.keys()
        for name, value in trained.items():
            torch.testing.assert_close(
                value,
                expected[name],
                rtol=1e-6,
                atol=1e-9,
                msg=lambda m, n=name, s=one: f"{s.name} {n}: {m}",
            )


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("clip", [1.0, 0.05], ids=["clip 1", "clip .05 bites"])
@pytest.mark.parametrize("penalties", [True, False], ids=["", "no penalty"])
def test_every_run_of_a_mixed_stack_equals_the_reference_loop(clip, penalties):
    """Where no run of a lane has a penalty, backprop's block gradients go on from its credit."""
    members = [s.replace(clip=clip) for s in VARIANTS if penalties or not s.penalty]
    assert_equal_to_the_reference(arrange(members))


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("terminal_norm", [False, True])
def test_runs_of_other_alphas_equal_the_reference_loop(terminal_norm):
    kind = {"activation": "phi", "terminal_norm": terminal_norm}
    assert_equal_to_the_reference(arrange([s.replace(**kind) for s in PHI]))


def test_gelu_without_terminal_norm_equals_the_reference_loop():
    members = [spec(rule=rule, terminal_norm=False) for rule in RULES]
    assert_equal_to_the_reference(arrange(members))


@pytest.mark.parametrize("alpha", [0.1, 1 / 3])
def test_alpha_is_as_exact_as_the_run_s_precision(alpha):
    stack = Stack([spec(activation="phi", alpha=alpha)], SHAPE)
    assert stack.params[resmlp.ALPHA].item() == alpha


def test_losses_and_accuracies_equal_the_reference_loop():
    one = spec(rule="fa", k=2)
    stack, data = Stack([one], SHAPE), batches()
    start = run_params(stack, 0)
    expected = reference_of(one, stack, start, 0, data)
    for epoch, steps in enumerate(data):
        stack.set_lr(learning_rate(one.lr, epoch, one.epochs))
        loss, correct, seen = 0.0, 0, 0
        for x, y in steps:
            batch_loss, batch_correct = stack.step(x, y)
            loss, correct = loss + batch_loss.item(), correct + batch_correct.item()
            seen += len(y)
        assert loss / seen == pytest.approx(expected.loss[epoch], rel=1e-9)
        assert correct / seen == expected.accuracy[epoch]


def test_seeds_of_one_stack_see_their_own_batches():
    specs = arrange([spec(rule=rule, seed=seed) for rule in ("bp", "dfa") for seed in (1, 2, 3)])
    stack = Stack(specs, SHAPE)
    by_seed = {seed: batches(seed) for seed in (1, 2, 3)}
    together = [
        [
            tuple(torch.stack(parts) for parts in zip(*step, strict=True))
            for step in zip(*epoch, strict=True)
        ]
        for epoch in zip(*by_seed.values(), strict=True)
    ]
    starts = [run_params(stack, row) for row in range(stack.size)]
    train(stack, together)
    for row, one in enumerate(specs):
        expected = reference_of(one, stack, starts[row], row, by_seed[one.seed]).params
        for name, value in run_params(stack, row).items():
            torch.testing.assert_close(value, expected[name], rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("rule", RULES)
def test_frozen_blocks_stay_bit_identical(rule):
    stack = Stack([spec(rule=rule, k=1)], SHAPE)
    before = run_params(stack, 0)
    train(stack, batches())
    after = run_params(stack, 0)
    for name in before:
        frozen = name.startswith(("blocks.0.", "blocks.1."))
        assert torch.equal(before[name], after[name]) == frozen, name


def test_fp32_runs_do_not_depend_on_their_neighbours():
    members = [spec(rule=rule, k=k, precision="fp32") for rule in RULES for k in (1, 3)]
    data = batches()
    together = Stack(arrange(members), SHAPE)
    train(together, data)
    for row, one in enumerate(together.specs):
        alone = Stack([one], SHAPE)
        train(alone, data)
        for name, value in run_params(alone, 0).items():
            torch.testing.assert_close(value, together.params[name][row], rtol=1e-3, atol=1e-4)


def test_runs_of_one_seed_start_equal_and_seeds_differ():
    stack = Stack(arrange([spec(rule=r, seed=s) for r in ("bp", "fa") for s in (1, 2)]), SHAPE)
    by_seed = {}
    for row, one in enumerate(stack.specs):
        by_seed.setdefault(one.seed, []).append(stack.params["embed.weight"][row])
    for same in by_seed.values():
        assert torch.equal(*same)
    assert not torch.equal(by_seed[1][0], by_seed[2][0])


def test_contiguous_slices():
    flags = [True, False, True, True, False]
    assert runs_of(flags) == [slice(0, 1), slice(2, 4)]
    assert runs_of([]) == [] and runs_of([False]) == [] and runs_of([True]) == [slice(0, 1)]


def test_the_global_generator_is_left_alone(no_global_generator):
    train(Stack([spec(rule="dfa")], SHAPE), batches())
