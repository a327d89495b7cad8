"""Staleness and cost: what an estimator loses as its network moves, and what a step takes."""

import torch

from credit import rules
from credit.rules import Shape
from credit.spec import RunSpec
from credit.sweep import sweep
from credit.training.cost import costs
from credit.training.loop import train
from credit.training.measuring import measure_held_out
from credit.training.stack import Stack, arrange
from credit.training.staleness import Staleness
from tests.sweeps import BASE

FIELDS = {**BASE, "k": 2, "estimator_width": 16, "warmup_ratio": 0, "measure_every": 2}


def stack_of(*names: str, **changes) -> tuple[Stack, list[RunSpec]]:
    specs = arrange([sweep.resolve(RunSpec(**{**FIELDS, "rule": n, **changes})) for n in names])
    return Stack(specs, Shape(64, 16, 10, 2)), specs


def alignment(stack: Stack, data, row: int) -> float:
    return measure_held_out(stack, data, only=("alignment",))[row].metrics["alignment/deep"]


def test_the_estimator_of_an_epochs_beginning_meets_the_networks_that_follow(digits):
    """Against a stack whose estimator really stops learning, by a learning rate of 0."""
    stack, _ = stack_of("credit_bridge", stale_steps=2)
    records = list(train(stack, digits))
    measured = [r[0].metrics for r in records if "staleness/now" in r[0].metrics]
    assert len(measured) == 2 and [
        r[0].epoch for r in records if "staleness/now" in r[0].metrics
    ] == [2, 4]

    other, _ = stack_of("credit_bridge")
    epochs = train(other, digits)
    next(epochs)
    kept = Staleness(other, digits)
    assert kept.metrics[0]["staleness/now"] == alignment(other, digits, 0)
    assert kept.metrics[0]["staleness/now"] == measured[0]["staleness/now"]
    old = {k: v.clone() for k, v in other.lanes[0].groups[0].state.items()}
    next(epochs)
    fresh = alignment(other, digits, 0)
    kept.note("epoch")
    assert alignment(other, digits, 0) == fresh  # the estimators are back in their place
    for name, value in old.items():
        other.lanes[0].groups[0].state[name].copy_(value)
    assert kept.metrics[0]["staleness/epoch"] == alignment(other, digits, 0)
    assert kept.metrics[0]["staleness/epoch"] == measured[0]["staleness/epoch"]
    assert kept.metrics[0]["staleness/epoch"] != fresh


def test_staleness_changes_no_training_and_only_learners_report_it(digits):
    runs = []
    for steps in (0, 3):
        stack, specs = stack_of("dfa", "state_bridge", stale_steps=steps)
        runs.append(list(train(stack, digits)))
    for before, after in zip(*runs, strict=True):
        for one, two in zip(before, after, strict=True):
            own = {k for k in two.metrics if k.startswith("staleness/")}
            learned = rules.get(specs[two.row].rule).learned
            assert bool(own) == (learned and two.epoch % 2 == 0)
            if own:
                moments = ("now", "steps", "epoch")
                assert own == {f"staleness/{m}{s}" for m in moments for s in ("", "_inner")}
            same = {k: v for k, v in two.metrics.items() if k not in own and k[:4] != "time"}
            assert same == {k: v for k, v in one.metrics.items() if k[:4] != "time"}


def test_a_network_that_does_not_move_leaves_nothing_stale(digits):
    stack, _ = stack_of("vector_field", stale_steps=2, lr=0.0)
    last = list(train(stack, digits))[-1][0].metrics
    assert last["staleness/now"] == last["staleness/steps"] == last["staleness/epoch"]
    assert last["alignment/deep"] != last["staleness/now"]


def test_costs_are_counted_as_a_person_would():
    shape = Shape(64, 16, 10, 4)
    d, c, depth, batch = 16, 10, 4, 64
    fields = {**FIELDS, "depth": depth, "k": depth, "batch_size": batch}
    network = 2 * 64 * d + 4 * d * c + depth * 5 * d * d
    dfa = costs(RunSpec(**{**fields, "rule": "dfa"}), shape)
    assert dfa["cost/flops_per_step"] == 2 * batch * (network + depth * d * c)
    assert dfa["cost/block_evaluations"] == depth
    assert dfa["cost/estimator_parameters"] == 0
    bp = RunSpec(**{**fields, "rule": "bp"})
    for one in (bp, bp.replace(penalty=0.1), bp.replace(device="cuda")):  # three passes a block
        flops = 2 * batch * (2 * 64 * d + 4 * d * c + depth * 3 * 2 * d * d)
        assert costs(one, shape)["cost/flops_per_step"] == flops
    field = RunSpec(**{**fields, "rule": "vector_field", "field_directions": 3})
    found = costs(field, shape)
    # three directions, two ends; a row at h_l has L - l blocks before it: 4, 3, 2, 1
    assert found["cost/block_evaluations"] == depth + 3 * 2 * (4 + 3 + 2 + 1) / 4
    state = rules.of(field).init(field, shape, torch.Generator())
    trained = sum(t.numel() for name, t in state.items() if name.startswith("estimator/"))
    assert found["cost/estimator_parameters"] == trained > 0
    rarely = costs(field.replace(estimator_every=2), shape)
    assert rarely["cost/block_evaluations"] == depth + 3 * 2 * (4 + 3 + 2 + 1) / 4 / 2


def test_costs_are_recorded_once(digits):
    stack, _ = stack_of("dfa")
    first, *rest = (records[0].metrics for records in train(stack, digits))
    assert costs(stack.specs[0], stack.shape).items() <= first.items()
    assert not any(name.startswith("cost/") for metrics in rest for name in metrics)
