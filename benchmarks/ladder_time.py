"""How long the published 72-run ladder takes here, from a few steps of one seed's stacks.

For d=256 L=4 (45 runs) and d=512 L=2 (27 runs): steps, one evaluation and one measurement of a
one-seed stack are timed and multiplied out, 100 epochs and 10 measurements. An estimate: at the
end of training, rules whose stream has grown are measured in float64, which takes longer. Prints
JSON.

    CREDIT_DATA=... python -m benchmarks.ladder_time
"""

import argparse
import json
import math
from datetime import date

import torch

from benchmarks import floor
from benchmarks.common import hardware, seconds_of
from benchmarks.epoch import RULES, WARM_UP
from credit.data import load
from credit.data.batches import held_out, train_batches
from credit.sweep.networks import shape_of
from credit.training.measuring import evaluate, measure_held_out
from credit.training.stack import Stack, arrange

SEEDS = 3


def main() -> None:
    """Time both configurations and print them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=40)
    steps = parser.parse_args().steps
    data = load("cifar10", "cpu")
    rates = floor.measure(torch.device("cpu"))
    found, hours = {}, 0.0
    for width, depth in ((256, 4), (512, 2)):
        specs = arrange(floor.published(RULES, width, depth, 1, device="cpu"))
        shape, runs, first = shape_of(specs[0], data), len(specs), specs[0]
        stack = Stack(specs, shape)
        batches = train_batches(data, stack.seeds, 0, first.batch_size, True, stack.dtype)
        for _ in range(WARM_UP):
            stack.step(*next(batches))
        step = seconds_of(
            lambda s=stack, b=batches: [s.step(*next(b)) for _ in range(steps)], "cpu"
        )
        test = held_out(data, stack.dtype)
        testing = seconds_of(lambda s=stack, t=test: evaluate(s.network, s.params, *t), "cpu")
        measuring = seconds_of(lambda s=stack: measure_held_out(s, data), "cpu")
        epoch = step / steps * math.ceil(data.n_train / first.batch_size) + testing
        whole = SEEDS * (first.epochs * epoch + first.epochs / first.measure_every * measuring)
        hours += whole / 3600
        least = floor.seconds(floor.count(specs, shape, data.n_train, len(test[1])), rates)["sum"]
        found[f"d={width} L={depth}, {SEEDS * runs} runs"] = {
            "seconds_per_run_epoch": epoch / runs,
            "floor_seconds_per_run_epoch": least / runs,
            "seconds_to_measure_a_run": measuring / runs,
            "hours": whole / 3600,
        }
    result = {
        "benchmark": "ladder_time",
        "command": f"python -m benchmarks.ladder_time --steps {steps}",
        "date": date.today().isoformat(),
        "hardware": hardware("cpu"),
        "torch": torch.__version__,
        **found,
        "hours": hours,
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
