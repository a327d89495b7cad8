"""Where a step of the 15-run stack spends its time: operations by shape, as a table.

One lane on one thread, so that times add up. On a CPU every operation is timed as it is dispatched
(torch's profiler slows the short ones down by half); on a GPU the profiler times the kernels.

    CREDIT_DATA=... python -m benchmarks.profile_step > benchmarks/results/profile_cpu_DATE.txt
"""

import argparse
import time
from collections import defaultdict
from collections.abc import Callable
from datetime import date

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks import floor
from benchmarks.common import hardware
from benchmarks.epoch import RULES, WARM_UP
from credit.data import load
from credit.data.batches import train_batches
from credit.sweep.networks import shape_of
from credit.training.stack import Stack, arrange

STEPS = 10


class Timed(TorchDispatchMode):
    """Adds up seconds and calls by operation and shapes."""

    def __init__(self) -> None:
        super().__init__()
        self.table: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        started = time.perf_counter()
        result = func(*args, **(kwargs or {}))
        shapes = [tuple(a.shape) for a in args if isinstance(a, torch.Tensor)]
        entry = self.table[f"{func} {' '.join(map(str, shapes))}"]
        entry[0] += time.perf_counter() - started
        entry[1] += 1
        return result


def on_cpu(work: Callable[[], object]) -> dict[str, list[float]]:
    """Operation -> [seconds, calls]."""
    with Timed() as timed:
        work()
    return timed.table


def on_gpu(work: Callable[[], object]) -> dict[str, list[float]]:
    """Kernel -> [seconds, calls]."""
    with profile(activities=[ProfilerActivity.CUDA]) as recorded:
        work()
        torch.cuda.synchronize()
    events = recorded.key_averages()
    return {e.key: [e.self_device_time_total / 1e6, float(e.count)] for e in events}


def main() -> None:
    """Profile some steps and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--rows", type=int, default=40)
    args = parser.parse_args()
    torch.set_num_threads(1)
    seeds = 1 if args.device == "cpu" else 3
    fields = {"precision": args.precision, "device": args.device}
    specs = arrange(floor.published(RULES, 256, 4, seeds, **fields))
    data = load("cifar10", args.device)
    stack = Stack(specs, shape_of(specs[0], data))
    batches = train_batches(data, stack.seeds, 0, specs[0].batch_size, True, stack.dtype)
    (lane,) = stack.lanes
    noise = lane.noise(specs[0].batch_size, 0)  # of rules that learn: here there are none

    def steps(count: int) -> None:
        for _ in range(count):
            lane.step(*next(batches), noise)

    steps(WARM_UP)
    table = (on_cpu if args.device == "cpu" else on_gpu)(lambda: steps(STEPS))
    rows = sorted(table.items(), key=lambda row: row[1][0], reverse=True)
    total = sum(seconds for _, (seconds, _) in rows)
    print(f"{date.today()}, {hardware(args.device)}, torch {torch.__version__}, {args.precision}")
    print(f"{len(specs)} runs, {STEPS} steps: {1e3 * total / STEPS:.1f} ms in operations a step")
    print(f"{'ms':>7} {'share':>6} {'calls':>6}  operation")
    for name, (seconds, calls) in rows[: args.rows]:
        share = seconds / total
        print(f"{1e3 * seconds / STEPS:7.2f} {share:6.1%} {calls / STEPS:6.1f}  {name[:120]}")


if __name__ == "__main__":
    main()
