"""A sweep of thousands of runs is planned once, and handed out without a look at all of it."""

from collections import Counter

import pytest
from tqdm import tqdm

from credit.rules import Shape
from credit.spec import RunSpec
from credit.sweep import planning, scheduler
from credit.sweep.launchers.base import Ended
from credit.sweep.networks import Networks
from credit.sweep.worker import Settled, Task
from credit.tracking.store import open_store
from credit.tracking.writer import Writer, open_parent
from credit.training.stack import arrange

RUNS, TOGETHER = 5000, 10
SHAPE = Shape(16, 16, 10, 2)  # as wide as its inputs: runs of all seeds share a stack
RULES = ("bp", "fa", "dfa", "oracle")


def counted(monkeypatch, counts: Counter, module, name: str, weigh=lambda *args: 1) -> None:
    original = getattr(module, name)

    def call(*args, **kwargs):
        counts[name] += weigh(*args)
        return original(*args, **kwargs)

    monkeypatch.setattr(module, name, call)


def specs_of(count: int) -> list[RunSpec]:
    common = {"width": 16, "depth": 2, "device": "cpu", "credit_reduction": "mean"}
    every = [(rule, k) for rule in RULES for k in range(3)]
    return [
        RunSpec(rule=every[i % 12][0], k=every[i % 12][1], seed=i // 12, **common)
        for i in range(count)
    ]


@pytest.mark.usefixtures("tracking_store")
def test_all_stacks_are_claimed_with_one_plan_and_few_looks_at_each_run(monkeypatch, tmp_path):
    specs, counts, handed = specs_of(RUNS), Counter(), []
    assert len({spec.stack_key for spec in specs}) == 1
    ordered = arrange(specs)
    tens = (ordered[i : i + TOGETHER] for i in range(0, RUNS, TOGETHER))
    free = int(max(planning.memory_needed(ten, SHAPE) for ten in tens) / planning.SHARE) + 1
    counted(monkeypatch, counts, planning, "plan")
    counted(monkeypatch, counts, planning, "footprint", lambda runs, shape: len(runs))
    counted(monkeypatch, counts, planning, "arrange", len)
    counted(monkeypatch, counts, scheduler, "find_children")

    class Planned(Networks):
        def __init__(self) -> None:
            self.free, self._workers = free, 1

        def shape(self, spec: RunSpec) -> Shape:
            return SHAPE

    class Ending:
        """A launcher whose workers leave every stack at once."""

        def run(self, take, watch):
            while task := take():
                handed.append(task.specs)
                yield Ended(task, Settled({spec.spec_hash: "" for spec in task.specs}, {}))

    store = open_store()
    parent = open_parent(store, "large", "ladder", {}, "0" * 16, "synthetic")
    with Writer(store, tmp_path / "journal") as writer:
        template = Task((), parent, {}, "", tmp_path / "state", False, False, {}, Networks, {})
        sweep = scheduler.Scheduler(specs, Planned(), store, writer, template)
        sweep.train(Ending(), tqdm(disable=True))
    assert len(sweep.run_ids) == RUNS and not sweep.failures
    assert 0.9 * RUNS / TOGETHER < len(handed) <= RUNS / TOGETHER
    assert sorted(s.spec_hash for stack in handed for s in stack) == sorted(
        s.spec_hash for s in specs
    )
    assert counts["plan"] == counts["find_children"] == 1
    assert counts["arrange"] == 2 * RUNS  # all of them, and the runs of each stack
    assert counts["footprint"] < 10 * RUNS
