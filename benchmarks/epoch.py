"""Seconds per run-epoch: the stack against the plain published loop, interleaved.

Each round times, one after the other: the plain loop with torch's default threads, the plain loop
with one thread, and the stack (bp, fa, dfa x 5 k, d=256, L=4 on CIFAR-10). Ratios are taken within
a round, so that a machine whose speed drifts does not decide. Prints JSON: medians and every round.

    CREDIT_DATA=... python benchmarks/epoch.py --rounds 3 --steps 60
"""

import argparse
import json
import math
import platform
import statistics
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import torch

from credit.data import load
from credit.data.batches import held_out, train_batches
from credit.spec import RunSpec
from credit.sweep import resolve, shape_of
from credit.training.loop import evaluate
from credit.training.stack import Stack, arrange

PLAIN = Path(__file__).with_name("plain_loop.py")


def plain(steps: int, threads: int) -> float:
    """Seconds per epoch of one dfa run in the plain loop, scaled from `steps` steps."""
    command = [sys.executable, str(PLAIN), "--rule", "dfa", "--k", "4", "--threads", str(threads)]
    done = subprocess.run(
        [*command, "--steps", str(steps)], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)["seconds_per_epoch"]


def stacked(steps: int) -> float:
    """Seconds per run-epoch of the 15-run stack, scaled from `steps` steps, test set included."""
    specs = [RunSpec(rule=rule, k=k) for rule in ("bp", "fa", "dfa") for k in range(5)]
    specs = arrange([resolve(spec) for spec in specs])
    data = load("cifar10", specs[0].device)
    stack = Stack(specs, shape_of(specs[0], data))
    first = specs[0]
    total = math.ceil(data.n_train / first.batch_size)
    batches = train_batches(data, stack.seeds, 0, first.batch_size, True, stack.dtype)
    for _ in range(5):
        stack.step(*next(batches))
    started = time.perf_counter()
    for _ in range(steps):
        stack.step(*next(batches))
    training = (time.perf_counter() - started) * total / steps
    test = held_out(data, stack.dtype)
    started = time.perf_counter()
    evaluate(stack.params, *test)
    return (training + time.perf_counter() - started) / stack.size


def main() -> None:
    """Time the rounds and print them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=60, help="steps timed per measurement")
    args = parser.parse_args()
    rounds = []
    for _ in range(args.rounds):
        row = {
            "plain_default_threads": plain(args.steps, 0),
            "plain_one_thread": plain(args.steps, 1),
            "stack": stacked(args.steps),
        }
        rounds.append(row)
        print(json.dumps(row), file=sys.stderr)
    medians = {name: statistics.median(r[name] for r in rounds) for name in rounds[0]}
    ratios = {
        name: statistics.median(r[name] / r["stack"] for r in rounds)
        for name in rounds[0]
        if name != "stack"
    }
    result = {
        "command": f"python benchmarks/epoch.py --rounds {args.rounds} --steps {args.steps}",
        "date": date.today().isoformat(),
        "hardware": f"{torch.get_num_threads()} threads, {platform.machine()}",
        "torch": torch.__version__,
        "seconds_per_run_epoch_median": medians,
        "plain_over_stack_median": ratios,
        "rounds": rounds,
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
