"""How the lanes of a stack take a step: on threads of a CPU, or as one captured graph on a GPU.

On a CPU, every lane has threads of its own and never waits for another within a step. That beats
giving all threads to each operation: the operations are short, and each would end with all threads
waiting for the slowest.
"""

import contextlib
import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import lru_cache, partial
from itertools import accumulate, pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from credit import rules
from credit.networks import kinds
from credit.rules import Shape, State
from credit.spec import RunSpec
from credit.training import capturing, optimizer
from credit.training.cotangents import trains_exactly
from credit.training.lane import Lane

MOST_LANES = 4
"""Python prepares every operation under one lock; more lanes would wait for it."""
RUNS_PER_LANE = 2
"""Runs that a lane should have at least; the operations of fewer are too short to gain."""
WARM_UP = 3
"""Steps before a GPU's step is captured, as cuBLAS and the allocator need them."""

Batch = tuple[Tensor, Tensor]
"""x and y of one step."""
Step = Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor]]
"""(x, y, steps done before) -> per run: sum of sample losses, number correct."""


def lanes_for(
    specs: Sequence[RunSpec], shape: Shape, device: torch.device, threads: int | None = None
) -> list[slice]:
    """The rows of every lane: neighbouring runs, about equal work in each.

    A GPU has one lane. A CPU has as many as the limits above allow, or one less, each with the same
    number of torch's threads.
    """
    count = 1
    if device.type == "cpu":
        threads = threads or torch.get_num_threads()
        most = max(1, min(threads, len(specs) // RUNS_PER_LANE, MOST_LANES))
        fewer = max(1, most - 1)  # where it leaves fewer threads idle
        count = max((fewer, most), key=lambda lanes: (threads // lanes * lanes, lanes))
    done = list(accumulate((products_of(spec, shape) for spec in specs), initial=0))
    shares = [done[-1] * part / count for part in range(count + 1)]
    cuts = [min(range(len(done)), key=lambda row: abs(done[row] - share)) for share in shares]
    return [slice(start, stop) for start, stop in pairwise(cuts) if start < stop]


def products_of(spec: RunSpec, shape: Shape) -> int:
    """Multiply-adds that a sample costs in one training step, in matrix products.

    Forward: embedding, blocks, head. Gradients: the embedding's, as much again; a trained block's
    weights, as much as its forward pass, and half as much to pull the credit to fc1, unless
    `trains_exactly`; the head's, once for h_L and twice for its weights and norm. And what the
    rule's credit and its learning cost, the exact gradients as much as the blocks; of a network of
    which nothing trains, its learning alone.
    """
    rule = rules.of(spec)
    costs, each = rule.costs(shape), kinds.products(spec, shape)
    trained = sum(each.blocks[shape.depth - spec.k :])
    in_blocks = sum(each.blocks) + (2 if trains_exactly(spec) else 3) * trained // 2
    at_embed = (1 + spec.embed_trains) * each.embed
    at_head = (2 + 2 * spec.head_trains) * each.head
    exact = int(sum(each.blocks) * (rule.reads_hidden_grads + costs.passes))
    still = not (spec.k or spec.embed_trains or spec.head_trains)
    of_rule = costs.learning + (0 if still else costs.credit + exact)
    return at_embed + at_head + in_blocks + of_rule


def stepper(lanes: Sequence[Lane], device: torch.device) -> Step:
    """The fastest way to step these lanes on `device`."""
    if optimizer.recorded(device):
        (lane,) = lanes
        return Captured(lane)
    return partial(_advance, lanes[0]) if len(lanes) == 1 else Threaded(lanes)


def _advance(lane: Lane, x: Tensor, y: Tensor, done: int) -> tuple[Tensor, Tensor]:
    result = lane.step(x, y, lane.noise(y.shape[-1], done))
    lane.count_updates()
    return result


class Threaded:
    """Every lane on its own threads.

    Grad mode and dispatch modes belong to a thread: those of the caller do not reach the lanes.
    """

    def __init__(self, lanes: Sequence[Lane]) -> None:
        self._lanes = lanes
        self._pool = _workers(len(lanes), max(1, torch.get_num_threads() // len(lanes)))
        self._batches: Iterator[Batch] | None = None
        self._coming: Future[Batch | None] | None = None

    def ahead(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """Yield batches, each prepared by the lane that is first done with the step before.

        The caller's own threads would wait, at work, on the cores of the lanes.
        """
        self._batches, self._coming = batches, None
        try:
            while (batch := self._prepare().result()) is not None:
                self._coming = None
                yield batch
        finally:
            if self._batches is batches:
                self._batches = None

    def _prepare(self) -> "Future[Batch | None]":
        """Begin with the next batch, unless that has been done."""
        if self._coming is None:
            assert self._batches is not None
            self._coming = self._pool.submit(next, self._batches, None)
        return self._coming

    def __call__(self, x: Tensor, y: Tensor, done: int) -> tuple[Tensor, Tensor]:
        steps = [self._pool.submit(_advance, lane, x, y, done) for lane in self._lanes]
        if self._batches is not None:
            self._prepare()
        try:
            wait(steps)
        finally:  # a signal may interrupt: leave no lane at work on the parameters
            wait(steps)
        losses, correct = zip(*(step.result() for step in steps), strict=True)
        return torch.cat(losses), torch.cat(correct)


@lru_cache
def _workers(lanes: int, threads: int) -> ThreadPoolExecutor:
    """Workers with so many threads each; torch counts threads for every Python thread by itself."""
    return ThreadPoolExecutor(
        lanes, "credit-lane", initializer=torch.set_num_threads, initargs=(threads,)
    )


os.register_at_fork(after_in_child=_workers.cache_clear)  # threads do not survive a fork


class Captured:
    """A lane's step as a CUDA graph: recorded once, then replayed on new data.

    The first steps, and batches of another size (the last of an epoch), run as they are. Rules that
    learn do different things in different steps: every `Lane.phase` has a graph of its own, unless
    an operation of it cannot be recorded: its steps all run as they are, and a line says why. What
    a replay returns is overwritten by the next.
    """

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._stream = torch.cuda.Stream(lane.device)
        self._graphs: dict[object, _Recording] = {}
        self._size = 0  # of the batches that are recorded: the largest so far
        self._warm: Counter[object] = Counter()
        self._eager_phases: set[object] = set()  # that no graph can record

    def __call__(self, x: Tensor, y: Tensor, done: int) -> tuple[Tensor, Tensor]:
        lane = self._lane
        with torch.cuda.device(lane.device):
            size = y.shape[-1]
            noise = lane.noise(size, done)
            if size > self._size:  # a resume may begin with an epoch's last batch, a short one
                self._size = size
                self._graphs.clear()
                self._warm.clear()
            if size != self._size or lane.phase in self._eager_phases:
                result = self._eager(x, y, noise)
            elif self._warm[lane.phase] < WARM_UP:
                self._warm[lane.phase] += 1
                with capturing.Watch() as watch:
                    result = self._eager(x, y, noise)
                if watch.found:
                    self._eager_phases.add(lane.phase)
                    capturing.warn(watch.found)
            else:
                if lane.phase not in self._graphs:
                    self._graphs[lane.phase] = self._record(x, y, noise)
                result = self._graphs[lane.phase].replay(x, y, noise)
        lane.count_updates()
        return result

    def _eager(self, x: Tensor, y: Tensor, noise: list[State]) -> tuple[Tensor, Tensor]:
        """On the stream of the recording, as its preparation must be."""
        here = torch.cuda.current_stream()
        self._stream.wait_stream(here)
        with torch.cuda.stream(self._stream), _optimizer_uncaptured():
            result = self._lane.step(x, y, noise)
        here.wait_stream(self._stream)
        return result

    def _record(self, x: Tensor, y: Tensor, noise: list[State]) -> "_Recording":
        """Record a step on buffers of the shapes of its arguments. Nothing runs."""
        x, y = torch.empty_like(x), torch.empty_like(y)
        noise = [{name: torch.empty_like(n) for name, n in part.items()} for part in noise]
        graph = torch.cuda.CUDAGraph()
        # other threads (those that talk to the tracking store) are free to do as they like
        with torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
            result = self._lane.step(x, y, noise)
        return _Recording(graph, x, y, noise, result)


class _Recording(NamedTuple):
    graph: torch.cuda.CUDAGraph
    x: Tensor
    y: Tensor
    noise: list[State]
    result: tuple[Tensor, Tensor]

    def replay(self, x: Tensor, y: Tensor, noise: list[State]) -> tuple[Tensor, Tensor]:
        self.x.copy_(x)
        self.y.copy_(y)
        for buffers, values in zip(self.noise, noise, strict=True):
            for name, value in values.items():
                buffers[name].copy_(value)
        self.graph.replay()
        return self.result


@contextlib.contextmanager
def _optimizer_uncaptured() -> Iterator[None]:
    """AdamW made for capturing warns when it steps without; here that is meant."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*capturable=True")
        yield
