"""How the lanes of a stack take a step: on threads of a CPU, or as one captured graph on a GPU.

On a CPU, every lane has threads of its own and never waits for another within a step. That beats
giving all threads to each operation: the operations are short, and each would end with all threads
waiting for the slowest.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import lru_cache
from itertools import accumulate, pairwise

import torch
from torch import Tensor

from credit import rules
from credit.rules import Shape
from credit.spec import RunSpec
from credit.training.lane import Lane

MOST_LANES = 4
"""Python prepares every operation under one lock; more lanes would wait for it."""
RUNS_PER_LANE = 2
"""Fewest runs of a lane; below, its operations are too short to gain."""
WARM_UP = 3
"""Steps before a GPU's step is captured, as cuBLAS and the allocator need them."""

Step = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""(x, y) -> per run: sum of sample losses, number correct."""


def lanes_for(specs: Sequence[RunSpec], shape: Shape, device: torch.device) -> list[slice]:
    """The rows of every lane: neighbouring runs, about equal work in each.

    A GPU has one lane, a CPU one for each of torch's threads, within the limits above.
    """
    count = 1
    if device.type == "cpu":
        count = max(1, min(torch.get_num_threads(), len(specs) // RUNS_PER_LANE, MOST_LANES))
    done = list(accumulate((products_of(spec, shape) for spec in specs), initial=0))
    shares = [done[-1] * part / count for part in range(count + 1)]
    cuts = [min(range(len(done)), key=lambda row: abs(done[row] - share)) for share in shares]
    return [slice(start, stop) for start, stop in pairwise(cuts) if start < stop]


def products_of(spec: RunSpec, shape: Shape) -> int:
    """Multiply-adds that a sample costs in one training step, in matrix products.

    Forward: embedding D d, a block 2 d^2, head d C. Gradients: embedding D d, a trained block
    3 d^2, head d C for its weights and twice for h_L. And what the rule's credit costs.
    """
    in_blocks = (2 * shape.depth + 3 * spec.k) * shape.width**2
    at_ends = (2 * shape.d_in + 4 * shape.classes) * shape.width
    return at_ends + in_blocks + rules.get(spec.rule).products(shape)


def stepper(lanes: Sequence[Lane], device: torch.device) -> Step:
    """The fastest way to step these lanes on `device`."""
    if device.type == "cuda":
        (lane,) = lanes
        return Captured(lane)
    return lanes[0].step if len(lanes) == 1 else Threaded(lanes)


class Threaded:
    """Every lane on its own threads."""

    def __init__(self, lanes: Sequence[Lane]) -> None:
        self._lanes = lanes
        self._pool = _pool(len(lanes), max(1, torch.get_num_threads() // len(lanes)))

    def __call__(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        steps = [self._pool.submit(lane.step, x, y) for lane in self._lanes]
        try:
            wait(steps)
        finally:  # a signal may interrupt: leave no lane at work on the parameters
            wait(steps)
        losses, correct = zip(*(step.result() for step in steps), strict=True)
        return torch.cat(losses), torch.cat(correct)


@lru_cache
def _pool(lanes: int, threads: int) -> ThreadPoolExecutor:
    """Workers with so many threads each; torch counts threads for every Python thread by itself."""
    return ThreadPoolExecutor(
        lanes, "credit-lane", initializer=torch.set_num_threads, initargs=(threads,)
    )


class Captured:
    """A lane's step as a CUDA graph: recorded once, then replayed on new data.

    The first steps, and batches of another size (the last of an epoch), run as they are. What a
    replay returns is overwritten by the next.
    """

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._stream = torch.cuda.Stream(lane.device)
        self._graph: torch.cuda.CUDAGraph | None = None
        self._warm = 0

    def __call__(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        if self._graph is None and self._warm < WARM_UP:
            self._warm += 1
            self._stream.wait_stream(torch.cuda.current_stream(x.device))
            with torch.cuda.stream(self._stream):
                result = self._lane.step(x, y)
            torch.cuda.current_stream(x.device).wait_stream(self._stream)
            return result
        if self._graph is None:
            self._x, self._y = x.clone(), y.clone()
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph):  # records, runs nothing
                self._result = self._lane.step(self._x, self._y)
        elif x.shape != self._x.shape:
            return self._lane.step(x, y)
        self._x.copy_(x)
        self._y.copy_(y)
        self._graph.replay()
        return self._result
