"""Checkpoints: what is written comes back bit for bit, in whatever company."""

import json

import pytest
import torch
from safetensors.torch import load_file

from credit import rules
from credit.rules import Shape
from credit.spec import SCHEMA, RunSpec
from credit.sweep.sweep import resolve
from credit.training.checkpoint import find, previous, read_header, restore, save_run, save_stack
from credit.training.loop import train
from credit.training.stack import Stack, arrange
from tests import learned
from tests.learned import PHI
from tests.stacks import assert_same_bits, assert_same_stacks, contents
from tests.training.checkpoints import MIXED, SHAPE, restored, spec, steps, trained
from tests.training.lanes import MORE


@pytest.mark.parametrize("precision", ["fp32", "fp64"])
def test_a_stack_comes_back_bit_for_bit(tmp_path, precision):
    specs = [one.replace(precision=precision) for one in MIXED]
    stack = trained(specs)
    path = tmp_path / "new" / "folder" / "stack.safetensors"
    save_stack(stack, 5, path)
    header = read_header(path)
    assert (header.path, header.epoch, header.optimizer_steps) == (path, 5, 3)
    assert header.specs == specs
    assert_same_stacks(restored(path, specs), stack)


def test_saving_changes_nothing_and_replaces_the_old_file(tmp_path):
    stack, untouched = trained(), trained()
    path = tmp_path / "stack.safetensors"
    save_stack(stack, 1, path)
    assert_same_stacks(stack, untouched)
    steps(stack, 1, first=3)
    save_stack(stack, 2, path)
    assert read_header(path).epoch == 2
    assert {p.name for p in tmp_path.iterdir()} == {path.name, previous(path).name}
    assert read_header(previous(path)).epoch == 1
    assert_same_stacks(restored(path), stack)


def fixed(seed: int) -> list[RunSpec]:
    base = {"seed": seed, "dataset": "digits", "epochs": 4, "measure_samples": 16}
    pairs = (("bp", 2), ("oracle", 1), ("fa", 2), ("dfa", 2), ("dfa", 0))
    return [spec(rule=rule, k=k, **base) for rule, k in pairs]


def learning(seed: int) -> list[RunSpec]:
    """Stopped between two updates of their estimators, in a warm-up and after it."""
    base = {"seed": seed, "dataset": "digits", "precision": "fp32", "measure_samples": 16, **PHI}
    base |= {"batch_size": 64, "estimator_every": 3}  # 10 steps before the break, updates at 9, 12
    ratios = (0.25, 0.75)
    return [learned.spec(n, warmup_ratio=r, **base) for n in learned.NAMES for r in ratios]


def others(seed: int) -> list[RunSpec]:
    """Rules that draw in every step, whose state follows the weights, that learn, and the rest."""
    base = {"seed": seed, "dataset": "digits", "epochs": 4, "measure_samples": 16}
    base |= {"batch_size": 64, "estimator_every": 3}
    specs = [
        resolve(RunSpec(rule=rule, width=8, depth=2, k=1, device="cpu", **base)) for rule in MORE
    ]
    by_batch = "magnitude=batch"
    return [*specs, *(s.replace(rule_option=by_batch) for s in specs if "sign" in s.rule)]


@pytest.mark.parametrize("seeds", [(1,), (1, 2)], ids=["one seed", "two seeds"])
@pytest.mark.parametrize("runs_of", [fixed, learning, others])
def test_two_epochs_and_two_more_are_four_bit_for_bit(runs_of, seeds, tmp_path, digits):
    """In fp32, on real data with augmentation, in a new stack that starts from the file alone."""
    specs = arrange([one for seed in seeds for one in runs_of(seed)])
    shape = Shape(digits.d_in, 8, digits.classes, specs[0].depth)
    through, first = Stack(specs, shape), Stack(specs, shape)
    records = list(train(through, digits))
    epochs = train(first, digits)
    begun = [next(epochs), next(epochs)]
    path = tmp_path / "stack.safetensors"
    save_stack(first, 2, path)
    epochs.close()

    second = restored(path, specs, shape)
    assert_same_stacks(second, first)
    begun += list(train(second, digits, start_epoch=read_header(path).epoch))
    assert_same_stacks(second, through)
    assert any(not torch.equal(contents(first)[n], v) for n, v in contents(through).items())
    for ours, expected in zip(begun, records, strict=True):
        for one, other in zip(ours, expected, strict=True):
            assert (one.row, one.epoch, one.layers) == (other.row, other.epoch, other.layers)
            assert timeless(one.metrics) == timeless(other.metrics)
            assert len(timeless(one.metrics)) >= 3
            told = any(name.startswith("estimator/") for name in one.metrics)
            learns = rules.of(specs[one.row]).learned
            assert told == learns


def timeless(metrics: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if not name.startswith("time/")}


def test_a_run_comes_back_in_other_company(tmp_path):
    """From several files, in another order, beside runs it did not train with before."""
    runs = [one.replace(precision="fp64") for one in MIXED]
    left, right = trained(runs[:4]), trained(runs[4:])
    save_stack(left, 2, tmp_path / "left.safetensors")
    save_stack(right, 2, tmp_path / "right.safetensors")
    before = {
        one.spec_hash: contents(stack, row)
        for stack in (left, right)
        for row, one in enumerate(stack.specs)
    }
    mixed = arrange([runs[1], runs[3], runs[5], runs[-1]])
    stack = restored(tmp_path / "left.safetensors", mixed)
    for row, one in enumerate(mixed):
        assert_same_bits(contents(stack, row), before[one.spec_hash])
    for one in (stack, left):
        steps(one, 2, first=3)
    moved = contents(stack, mixed.index(runs[1]))
    for name, value in contents(left, 1).items():
        torch.testing.assert_close(moved[name], value, rtol=1e-6, atol=1e-9)


def test_the_newest_checkpoint_of_a_run_is_found(tmp_path):
    stack = trained()
    for name, epoch in (("a", 3), ("b", 9), ("c", 6)):
        save_stack(stack, epoch, tmp_path / f"{name}.safetensors")
    found, _ = find(tmp_path)
    assert found.keys() == {one.spec_hash for one in MIXED}
    for row, one in enumerate(MIXED):
        header, source = found[one.spec_hash]
        assert (header.path.name, header.epoch, source) == ("b.safetensors", 9, row)
    assert find(tmp_path / "absent") == ({}, [])


@pytest.mark.parametrize("row", range(len(MIXED)))
def test_a_finished_run_keeps_its_weights_feedback_and_spec(tmp_path, row):
    stack, one = trained(), MIXED[row]
    save_run(stack, row, 4, tmp_path / "checkpoint")
    expected = contents(stack, row)

    weights = load_file(tmp_path / "checkpoint" / "weights.safetensors")
    assert_same_bits(weights, {n: v for n, v in expected.items() if not n.startswith("moment")})
    assert ("state/feedback" in weights) == (one.rule in ("fa", "dfa"))

    saved = json.loads((tmp_path / "checkpoint" / "spec.json").read_text())
    assert saved.pop("schema") == SCHEMA
    assert RunSpec.from_mapping(saved) == one

    last = tmp_path / "checkpoint" / "last.safetensors"
    header = read_header(last)
    assert (header.epoch, header.optimizer_steps, header.specs) == (4, 3, [one])
    alone = Stack([one], SHAPE)
    restore(alone, [(header, 0)])
    assert_same_bits(contents(alone), expected)
    assert alone.optimizer_steps == stack.optimizer_steps
