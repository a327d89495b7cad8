"""The plan of a sweep: stacks, memory, and hours by the time of a few steps of each kind."""

import math
import time
from collections.abc import Sequence

import torch

from credit.randomness import generator
from credit.spec import RunSpec
from credit.sweep import planning
from credit.sweep.networks import Networks
from credit.sweep.options import Launch
from credit.sweep.worker import unsettled
from credit.tracking.writer import Store
from credit.training.stack import Stack

STEPS = 4
"""Steps that are timed of each kind of stack, after one that is not."""


def report(
    specs: Sequence[RunSpec], work: Networks, store: Store, launch: Launch, workers: int
) -> str:
    """Return the stacks that a sweep would train, as text for the terminal.

    They are planned as if no run had begun; stacks that have begun keep their runs. Hours are those
    of training alone, at the speed at which a few steps ran here.
    """
    left = unsettled(store, specs)
    stacks = work.plan(left, {}, {}) if left else []
    speeds: dict[tuple, float] = {}
    lines, hours = [], []
    for number, runs in enumerate(stacks, start=1):
        shape = work.shape(runs[0])
        memory = planning.memory_needed(runs, shape) / 1e9
        kind = (runs[0].stack_key, len(runs), *sorted({(s.rule, s.k) for s in runs}))
        timed = shape.d_in and (launch.here or runs[0].device == "cpu")
        if timed and kind not in speeds:
            speeds[kind] = step_seconds(work.stack(runs), runs[0].batch_size)
        took = speeds.get(kind, float("nan")) * work.steps(runs[0]) * runs[0].epochs / 3600
        hours.append(took)
        shown = f"{took:8.2f} h" if timed else "hours unknown here"
        lines.append(f"{number:5} {len(runs):5} runs {memory:8.2f} GB {shown}")
    total = f"{len(left)} of {len(specs)} runs in {len(stacks)} stacks"
    if not any(map(math.isnan, hours)):
        total += f", {sum(hours):.2f} h"
        total += f"; with {workers} workers {makespan(hours, workers):.2f} h" * (workers > 1)
        total += ", measuring and logging not counted"
    return "\n".join([*lines, total])


def makespan(hours: Sequence[float], workers: int) -> float:
    """Return the hours until workers that take the next stack when free have trained all."""
    ends = [0.0] * workers
    for took in hours:
        ends[ends.index(min(ends))] += took
    return max(ends)


def step_seconds(stack: Stack, samples: int) -> float:
    """Return the seconds of a step of a stack on random samples, the median of STEPS."""
    source = generator(0, "trial")
    shape = (samples, stack.shape.d_in)
    x = torch.randn(shape, generator=source).to(stack.device, stack.dtype)
    y = torch.randint(stack.shape.classes, (samples,), generator=source).to(stack.device)
    stack.set_lr(1e-3)
    stack.set_phase(0, stack.specs[0].epochs)
    seconds = []
    for _ in range(STEPS + 1):
        began = time.perf_counter()
        float(stack.step(x, y)[0].sum())  # waits for the device
        seconds.append(time.perf_counter() - began)
    return sorted(seconds[1:])[STEPS // 2]
