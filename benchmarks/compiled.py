"""Does torch.compile pay? One lane's step on one thread, as it is and through inductor.

Prints JSON: seconds to compile, milliseconds of a step (medians; as it is twice, around the other).
Needs a C++ compiler.

    CREDIT_DATA=... python -m benchmarks.compiled
"""

import json
import statistics
import time
from collections.abc import Callable
from datetime import date

import torch

from benchmarks import floor
from benchmarks.common import hardware, seconds_of
from benchmarks.epoch import RULES, WARM_UP
from credit.data import load
from credit.data.batches import train_batches
from credit.sweep.networks import shape_of
from credit.training.stack import Stack, arrange

STEPS = 20


def main() -> None:
    """Time both and print them."""
    torch.set_num_threads(1)
    specs = arrange(floor.published(RULES, 256, 4, 1, device="cpu"))
    data = load("cifar10", "cpu")
    stack = Stack(specs, shape_of(specs[0], data))
    batches = train_batches(data, stack.seeds, 0, specs[0].batch_size, True, stack.dtype)
    (lane,) = stack.lanes
    noise = lane.noise(specs[0].batch_size, 0)  # of rules that learn: here there are none

    def milliseconds(step: Callable) -> list[float]:
        for _ in range(WARM_UP):
            step(*next(batches), noise)
        return [1e3 * seconds_of(lambda: step(*next(batches), noise), "cpu") for _ in range(STEPS)]

    plain = milliseconds(lane.step)
    compiled = torch.compile(lane.step, dynamic=False)
    started = time.perf_counter()
    compiled(*next(batches), noise)
    compile_seconds = time.perf_counter() - started
    inductor = milliseconds(compiled)
    plain += milliseconds(lane.step)
    result = {
        "benchmark": "compiled",
        "command": "python -m benchmarks.compiled",
        "date": date.today().isoformat(),
        "hardware": hardware("cpu"),
        "torch": torch.__version__,
        "runs": len(specs),
        "compile_seconds": compile_seconds,
        "milliseconds_per_step_median": {
            "as it is": statistics.median(plain),
            "inductor": statistics.median(inductor),
        },
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
