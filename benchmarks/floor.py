"""The least time an epoch of a stack can take here: work counted, rates measured.

Work: multiply-adds of the matrix products (two FLOPs each), training and test set, and the bytes
that AdamW must move (parameter, gradient and two moments read, all but the gradient written: 28 per
trained float32 parameter and step). Rates: the best this machine reaches on each, on all threads
at once, as the lanes of a stack use them. Everything else a step does (LayerNorm, GELU, clipping,
augmentation, Python) is not in the floor. Prints JSON.

    python -m benchmarks.floor
"""

import argparse
import json
import math
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from typing import NamedTuple

import torch

from benchmarks.common import seconds_of
from credit.rules import Shape
from credit.spec import RunSpec
from credit.sweep.sweep import resolve
from credit.training import products
from credit.training.steppers import products_of

ADAMW_BYTES = 28


class Work(NamedTuple):
    """What one epoch of a stack asks of a machine."""

    flops: float  # in matrix products
    bytes: float  # moved by AdamW


class Rates(NamedTuple):
    """What the machine gives."""

    flops: float  # per second, large matrix products
    bytes: float  # per second, AdamW on more than fits a cache


def count(specs: Sequence[RunSpec], shape: Shape, n_train: int, n_test: int) -> Work:
    """Work of one epoch, the test set included."""
    d_in, d, classes, depth = shape[:4]
    forward = d * (d_in + 2 * depth * d + classes)
    training = sum(products_of(spec, shape) for spec in specs)
    flops = 2 * (n_train * training + n_test * forward * len(specs))
    ends = d * (d_in + 1 + 2) + classes * (d + 1)
    block = 2 * d * d + 4 * d
    trained = sum(ends + spec.k * block for spec in specs)
    steps = math.ceil(n_train / specs[0].batch_size)
    return Work(flops, ADAMW_BYTES * trained * steps)


def measure(device: torch.device, precision: str = "fp32") -> Rates:
    """Rates on `device`, each the median of the faster half of 12 runs."""
    products.prepare(device)
    size, numbers = (2048, 2**23) if device.type == "cpu" else (8192, 2**28)
    dtype = products.PRECISIONS[precision].weights

    def multiply() -> Callable[[], object]:
        a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
        out = torch.empty_like(a)

        def work() -> None:
            with products.of_a_step(precision):
                torch.mm(a, b, out=out)

        return work

    def update() -> Callable[[], object]:
        parameter = torch.zeros(numbers, device=device)
        parameter.grad = torch.ones_like(parameter)
        return torch.optim.AdamW([parameter], fused=True).step

    return Rates(_rate(multiply, 2 * size**3, device), _rate(update, ADAMW_BYTES * numbers, device))


def _rate(make: Callable[[], Callable[[], object]], unit: float, device: torch.device) -> float:
    """Units per second of all threads together."""
    threads = torch.get_num_threads() if device.type == "cpu" else 1
    pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))

    def best(work: Callable[[], object]) -> float:
        seconds = [seconds_of(work, device) for _ in range(12)]
        return median(sorted(seconds)[:6])

    with pool:
        return sum(unit / seconds for seconds in pool.map(best, [make() for _ in range(threads)]))


def seconds(work: Work, rates: Rates) -> dict[str, float]:
    """The two floors of an epoch, and their sum."""
    parts = {"products": work.flops / rates.flops, "adamw": work.bytes / rates.bytes}
    return {**parts, "sum": sum(parts.values())}


def published(rules: Sequence[str], width: int, depth: int, seeds: int, **fields) -> list[RunSpec]:
    """The ladder's runs: rules x k x seeds."""
    return [
        resolve(RunSpec(rule=rule, k=k, seed=seed, width=width, depth=depth, **fields))
        for seed in range(seeds)
        for rule in rules
        for k in range(depth + 1)
    ]


def main() -> None:
    """Print work, rates and floors of the published ladder's two configurations."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(parser.parse_args().device)
    result: dict = {"benchmark": "floor", "device": str(device), "torch": torch.__version__}
    for precision in ("fp32", "bf16") if device.type == "cpu" else ("fp32", "tf32", "bf16"):
        rates = measure(device, precision)
        result[precision] = {"gflops": rates.flops / 1e9, "adamw_gb_s": rates.bytes / 1e9}
        for width, depth in ((256, 4), (512, 2)):
            specs = published(("bp", "fa", "dfa"), width, depth, 3, device=str(device))
            work = count(specs, Shape(3072, width, 10, depth), 50_000, 10_000)
            floors = seconds(work, rates)
            result[precision][f"d{width} L{depth}, {len(specs)} runs"] = {
                "tflop_per_epoch": work.flops / 1e12,
                "gb_per_step": work.bytes / math.ceil(50_000 / 128) / 1e9,
                "floor_seconds_per_epoch": floors,
                "floor_seconds_per_run_epoch": floors["sum"] / len(specs),
            }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    sys.exit(main())
