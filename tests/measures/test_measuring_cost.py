"""Measuring waits for the device a few times, however many runs there are."""

from collections import Counter

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from credit.data import load
from credit.measures import base, perturbation
from credit.randomness import generator
from credit.spec import RunSpec
from credit.sweep.networks import shape_of
from credit.sweep.sweep import resolve
from credit.training.measuring import measure_held_out
from credit.training.stack import Stack, arrange
from tests.measures.made import DEPTH, noisy, one_run, report


class Counted(TorchDispatchMode):
    """Counts the calls of every operation."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.calls[func._schema.name.partition("::")[2]] += 1
        return func(*args, **(kwargs or {}))


@pytest.fixture
def counts(monkeypatch) -> Counter:
    """How often numbers were read, and which streams were opened how often."""
    found = Counter()
    read = torch.Tensor.tolist

    def tolist(tensor):
        found["read"] += 1
        return read(tensor)

    def opened(*name):
        found[name] += 1
        return generator(*name)

    monkeypatch.setattr(torch.Tensor, "tolist", tolist)
    for module in (base, perturbation):
        monkeypatch.setattr(module, "generator", opened)
    return found


def test_more_runs_of_a_seed_read_no_more_numbers_and_draw_nothing_more(counts):
    every = []
    for runs in (2, 8):
        counts.clear()
        seeds = [7, 8] * (runs // 2)
        with Counted() as mode:
            report(noisy, seeds=seeds, runs=[one_run(i) for i in range(runs)])
        assert mode.calls["_local_scalar_dense"] == mode.calls["nonzero"] == 0
        every.append(dict(counts))
    assert every[0] == every[1]
    layers = DEPTH + 1
    streams = {name: count for name, count in every[0].items() if name != "read"}
    assert {n: c for n, c in streams.items() if n[1] == "control"} == {
        (seed, "control", layer): 1 for seed in (7, 8) for layer in range(layers)
    }


def test_the_measures_of_rules_read_no_single_number():
    base_of = {"width": 8, "depth": 2, "k": 2, "device": "cpu", "dataset": "digits"}
    specs = arrange([resolve(RunSpec(rule=rule, **base_of)) for rule in ("dfa", "fa", "bp")])
    data = load("digits")
    stack = Stack(specs, shape_of(specs[0], data))
    with Counted() as mode:
        reports = measure_held_out(stack, data)
    assert mode.calls["_local_scalar_dense"] == 0 and mode.calls["mm"] > 0
    assert {"transport/random", "rho/h00"} <= reports[0].metrics.keys()
