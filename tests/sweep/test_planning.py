"""Planning: the memory model against real stacks, and how runs are split over stacks."""

import math
import os
import signal
import weakref
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from credit.data import load
from credit.errors import CreditError
from credit.rules import Shape
from credit.spec import RunSpec
from credit.sweep import networks, planning, sweep, tracked_stack
from credit.sweep.planning import MAX_RUNS, SHARE, check, footprint, memory_needed, plan
from credit.tracking.reader import connect
from credit.tracking.store import open_store
from credit.training.stack import Stack, arrange
from tests import sweeps
from tests.sweeps import assert_equal_weights, weights
from tests.traps import refused

BASE = {**sweeps.BASE, "epochs": 1, "train_samples": 100, "measure_every": 1}
RULES = ("bp", "oracle", "fa", "dfa")
PLENTY = 10**15
LARGER = {"width": 32, "depth": 3, "batch_size": 4000}
LARGER |= {"measure_samples": 128, "precision": "fp64"}


def spec_of(**changes) -> RunSpec:
    return sweep.resolve(RunSpec(**{**BASE, **changes}))


def shape_of(spec: RunSpec) -> Shape:
    return Shape(64, spec.width, 10, spec.depth)


def grid(device: str = "cpu", seeds=(1, 2)) -> list[RunSpec]:
    specs = [spec_of(rule=r, k=k, seed=s) for s in seeds for r in RULES for k in (0, 1, 2)]
    return [spec.replace(device=device) for spec in specs]  # not resolved: no GPU is needed


def size_of(tensors) -> int:
    return sum(t.numel() * t.element_size() for t in tensors)


@pytest.mark.parametrize("precision", ["fp32", "fp64"])
@pytest.mark.parametrize(("width", "depth"), [(16, 2), (24, 3)])
def test_the_model_counts_what_a_real_stack_keeps(width, depth, precision):
    common = {"width": width, "depth": depth, "precision": precision}
    rules = (*RULES, "tests.exploding:Estimating")
    specs = arrange([spec_of(rule=r, k=k, **common) for r in rules for k in range(depth + 1)])
    shape = shape_of(specs[0])
    stack = Stack(specs, shape)
    stack.step(torch.randn(8, shape.d_in, dtype=stack.dtype), torch.arange(8))
    found = footprint(specs, shape)
    assert found.params == size_of(stack.params.values())
    assert found.moments == size_of(t for pair in stack.moments.values() for t in pair)
    assert found.states == size_of(
        tensor for row in range(stack.size) for tensor in stack.rule_state(row).values()
    )
    optimizers = [lane.optimizer for lane in stack.lanes]
    trained = [p.grad for o in optimizers for group in o.param_groups for p in group["params"]]
    assert found.grads == size_of(trained)
    assert sum(found) == memory_needed(specs, shape)


@pytest.mark.parametrize("change", [{k: v} for k, v in LARGER.items()])
def test_more_of_anything_needs_more(change):
    spec = spec_of(rule="fa", k=2)
    larger = spec.replace(**change)
    assert memory_needed([larger], shape_of(larger)) > memory_needed([spec], shape_of(spec))
    assert memory_needed([spec, spec], shape_of(spec)) > memory_needed([spec], shape_of(spec))


def test_a_state_too_large_to_make_is_only_counted():
    spec = spec_of(rule="fa", k=2, width=2**20)
    assert planning.state_numbers(spec, shape_of(spec)) == 2 * 2**40


def test_seeds_are_stacked_apart_on_a_cpu_and_together_elsewhere():
    specs = [spec_of(rule=r, seed=s, k=2) for r in RULES for s in (1, 2)]
    assert [len(stack) for stack in plan(specs, shape_of, {}, PLENTY)] == [4, 4]
    elsewhere = [spec.replace(device="cuda") for spec in specs]
    assert [len(stack) for stack in plan(elsewhere, shape_of, {}, PLENTY)] == [8]
    done = {specs[0].spec_hash: 3}
    sizes = [len(stack) for stack in plan(specs, shape_of, done, PLENTY)]
    assert sorted(sizes) == [1, 3, 4]


def test_a_long_list_is_cut_at_the_most_runs_without_a_word(capsys):
    specs = [spec_of(k=2, penalty=i / 1000) for i in range(MAX_RUNS + 3)]
    assert [len(stack) for stack in plan(specs, shape_of, {}, PLENTY)] == [34, 33]
    assert capsys.readouterr().err == ""


def test_what_memory_splits_is_said(capsys):
    specs = grid("cuda")
    need = memory_needed(arrange(specs), shape_of(specs[0]))
    free = math.ceil(0.9 * need / SHARE)
    assert [len(stack) for stack in plan(specs, shape_of, {}, free)] == [12, 12]
    said = capsys.readouterr().err
    assert all(part in said for part in ("24 runs", "2 stacks", f"{free / 1e9:.3g} GB"))
    plan(specs, shape_of, {}, math.ceil(need / SHARE))
    assert capsys.readouterr().err == ""


def test_runs_of_one_stack_are_shared_by_the_workers():
    specs = [spec_of(k=2, penalty=i / 1000).replace(device="cuda") for i in range(45)]
    one, some = ({spec.spec_hash: "a checkpoint" for spec in part} for part in (specs, specs[:9]))
    for began, sizes in (({}, [12, 11, 11, 11]), (one, [45]), (some, [9, 12, 12, 12])):
        assert [len(s) for s in plan(specs, shape_of, {}, PLENTY, began, workers=4)] == sizes
    seeds = [spec_of(seed=seed, k=k) for seed in (1, 2, 3) for k in (0, 1)]
    for workers, sizes in ((2, [2] * 3), (3, [2] * 3), (4, [2] * 3), (6, [1] * 6), (9, [1] * 6)):
        assert [len(s) for s in plan(seeds, shape_of, {}, PLENTY, workers=workers)] == sizes


def test_stacks_that_have_not_begun_are_the_same_when_others_have():
    specs = [spec_of(k=2, seed=s, penalty=i / 1000) for s in (1, 2, 3) for i in range(24)]
    stacks = plan(specs, shape_of, {}, PLENTY, workers=4)
    assert [len(stack) for stack in stacks] == [12] * 6
    began = {spec.spec_hash: str(n) for n, stack in enumerate(stacks[:4]) for spec in stack}
    assert plan(specs, shape_of, {}, PLENTY, began, workers=4) == stacks


members = st.builds(
    spec_of,
    rule=st.sampled_from(RULES),
    k=st.integers(0, 2),
    seed=st.integers(1, 3),
    width=st.sampled_from([8, 16]),
    penalty=st.sampled_from([0.0, 0.01]),
)


@settings(max_examples=40, deadline=None)
@given(
    specs=st.lists(members, unique=True, min_size=1, max_size=80),
    device=st.sampled_from(["cpu", "cuda"]),
    epochs=st.lists(st.integers(0, 1), min_size=80, max_size=80),
    room=st.floats(1.0, 20.0),
    workers=st.integers(1, 9),
)
def test_a_plan_is_complete_fits_and_has_the_fewest_parts(specs, device, epochs, room, workers):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planning, "OVERHEAD", 0)  # it would dwarf these runs, and nothing be split
        _check_plan([spec.replace(device=device) for spec in specs], device, epochs, room, workers)


def _check_plan(specs, device, epochs, room, workers):
    done = {spec.spec_hash: n for spec, n in zip(specs, epochs, strict=False) if n}
    largest = max(memory_needed([spec], shape_of(spec)) for spec in specs)
    free = math.ceil(room * largest / SHARE)
    stacks = plan(specs, shape_of, done, free, {}, workers)

    most = min(MAX_RUNS, math.ceil(len(specs) / workers))
    assert Counter(spec for stack in stacks for spec in stack) == Counter(specs)
    together: dict[tuple, list[list[RunSpec]]] = {}
    for stack in stacks:
        assert 0 < len(stack) <= most
        assert memory_needed(stack, shape_of(stack[0])) <= SHARE * free
        assert stack == arrange(stack)
        assert len({spec.stack_key for spec in stack}) == 1
        assert len({done.get(spec.spec_hash, 0) for spec in stack}) == 1
        assert device == "cuda" or len({spec.seed for spec in stack}) == 1
        first = stack[0]
        seed = first.seed if device == "cpu" else 0
        key = (first.stack_key, done.get(first.spec_hash, 0), seed)
        together.setdefault(key, []).append(stack)

    for parts in together.values():
        runs = arrange([spec for part in parts for spec in part])
        sizes = [len(part) for part in parts]
        assert max(sizes) - min(sizes) <= 1
        for fewer in range(1, len(parts)):
            some = planning._parts(runs, fewer)
            needs = [memory_needed(part, shape_of(runs[0])) for part in some]
            assert max(map(len, some)) > most or max(needs) > SHARE * free


def test_a_run_that_does_not_fit_is_named_with_its_need():
    spec = spec_of(rule="dfa", k=1)
    need = memory_needed([spec], shape_of(spec))
    check([spec], shape_of, math.ceil(need / SHARE))
    named = ("dfa k1 s42", "width=16", "depth=2", "batch_size=64", f"{need / 1e9:.3g} GB")
    refused(lambda: check([spec], shape_of, need), *named)
    refused(lambda: plan([spec], shape_of, {}, need), *named)


def test_free_memory_is_a_part_of_the_machine():
    import psutil

    free = planning.memory_free("cpu")
    assert 0 < free <= psutil.virtual_memory().total


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_memory_that_was_freed_on_a_gpu_counts_as_free():
    before = planning.memory_free("cuda")
    block = torch.empty(2**28, device="cuda")
    assert planning.memory_free("cuda") <= before - 2**30
    del block
    assert planning.memory_free("cuda") >= before


@pytest.mark.usefixtures("tracking_store")
def test_a_sweep_that_cannot_fit_creates_no_run():
    specs = [RunSpec(**{**BASE, "rule": r, "k": 1}) for r in ("bp", "fa")]
    huge = specs[1].replace(width=2**20)
    with pytest.raises(CreditError, match=r"fa k1 s42 with width=1048576, .* GB are free on cpu"):
        sweep.run(sweep.Sweep("ladder", "too large", [*specs[:1], huge]), open_store())
    assert connect().runs().empty and connect().parents().empty


@pytest.mark.usefixtures("tracking_store")
def test_a_sweep_trains_the_parts_one_after_the_other(monkeypatch, capsys):
    specs = [RunSpec(**{**BASE, "rule": "dfa", "k": k}) for k in range(3)]
    shape = Shape(64, 16, 10, 2)
    one = memory_needed([sweep.resolve(specs[2])], shape)
    both = memory_needed([sweep.resolve(spec) for spec in specs[:2]], shape)
    assert one < both
    spare = planning.memory_of_data(load("digits"), specs)
    room = math.ceil(one / SHARE) + spare
    monkeypatch.setattr(planning, "memory_free", lambda device: room)
    alive = weakref.WeakSet()
    most = []

    class Counted(Stack):
        def __init__(self, *args) -> None:
            alive.add(self)
            most.append(len(alive))
            super().__init__(*args)

    monkeypatch.setattr(networks, "Stack", Counted)
    outcome = sweep.run(sweep.Sweep("ladder", "parts", specs), open_store())
    assert most == [1, 1, 1], "an earlier stack is still in memory"
    assert "3 runs in 3 stacks: together they need" in capsys.readouterr().err
    assert set(connect().runs(parent=outcome.parent_id)["status"]) == {"FINISHED"}


@pytest.mark.usefixtures("tracking_store")
@pytest.mark.parametrize("later", ["plenty", pytest.param("less", marks=pytest.mark.slow)])
def test_a_stack_that_has_begun_keeps_its_runs_in_less_memory(later, monkeypatch, tmp_path):
    """Stopped in its first stack of two, it ends as the one that was not stopped, bit for bit."""
    monkeypatch.setattr(planning, "OVERHEAD", 0)  # it would dwarf these runs
    grid = [(rule, k) for rule in ("dfa", "fa") for k in (1, 2)]
    specs = [RunSpec(**{**BASE, "rule": rule, "k": k, "epochs": 2}) for rule, k in grid]
    resolved = arrange([sweep.resolve(spec) for spec in specs])
    need = max(memory_needed(half, Shape(64, 16, 10, 2)) for half in (resolved[:2], resolved[2:]))
    spare = planning.memory_of_data(load("digits"), specs)
    trained, stop_at = [], [0]
    step = Stack.step

    def noted(stack, *args):
        trained.append([spec.spec_hash for spec in stack.specs])
        if len(trained) == stop_at[0]:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(stack, *args)

    def run() -> dict[str, dict[str, torch.Tensor]]:
        return weights(sweep.run(sweep.Sweep("ladder", "planned", specs), open_store()))

    monkeypatch.setattr(Stack, "step", noted)
    room = {"first": math.ceil(need / SHARE), "plenty": PLENTY, "less": need}
    monkeypatch.setattr(planning, "memory_free", lambda device: room["first"] + spare)
    expected, whole = run(), list(trained)
    assert sorted(set(map(len, whole))) == [2], "the memory is not what splits them in two"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'other.db'}")
    trained.clear()
    stop_at[0] = 3
    with pytest.raises(tracked_stack.Stopped):
        run()
    monkeypatch.setattr(planning, "memory_free", lambda device: room[later] + spare)
    assert_equal_weights(run(), expected)
    assert trained.count(whole[0]) == whole.count(whole[0])
