"""Seconds per run-epoch: the stack against the plain published loop, interleaved, and the floor.

Each round times, one after the other: the plain loop with torch's default threads, the plain loop
with one thread, the stack (bp, fa, dfa x 5 k, d=256, L=4 on CIFAR-10) in fp32 and in bf16, and bp
with k=4 alone.
Ratios are taken within a round, so that a machine whose speed drifts does not decide. The floor is
that of `floor.py`, its rates measured in the same round. Prints JSON: medians and every round.

    CREDIT_DATA=... python -m benchmarks.epoch --rounds 5 --steps 60
"""

import argparse
import json
import math
import statistics
import subprocess
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import torch

from benchmarks import floor
from benchmarks.common import hardware, seconds_of
from credit.data import Dataset, load
from credit.data.batches import held_out, train_batches
from credit.spec import RunSpec
from credit.sweep.networks import shape_of
from credit.training.measuring import evaluate
from credit.training.stack import Stack, arrange

PLAIN = Path(__file__).with_name("plain_loop.py")
RULES = ("bp", "fa", "dfa")
WARM_UP = 6
"""Steps before the clock starts; a GPU records its step in the fourth."""


def plain(steps: int, threads: int, device: str) -> float:
    """Seconds per epoch of one dfa run, k=2, in the plain loop, scaled from `steps` steps.

    The middle of the stack's local runs: a little less work than the mean of all.
    """
    command = [sys.executable, str(PLAIN), "--rule", "dfa", "--k", "2", "--threads", str(threads)]
    done = subprocess.run(
        [*command, "--device", device, "--steps", str(steps)],
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)["seconds_per_epoch"]


def stacked(data: Dataset, steps: int, specs: Sequence[RunSpec]) -> float:
    """Seconds per run-epoch of a stack, scaled from `steps` steps, test set included."""
    specs, device = arrange(specs), specs[0].device
    stack = Stack(specs, shape_of(specs[0], data))
    total = math.ceil(data.n_train / specs[0].batch_size)
    batches = stack.ahead(
        train_batches(data, stack.seeds, 0, specs[0].batch_size, True, stack.dtype)
    )
    for _ in range(WARM_UP):
        stack.step(*next(batches))
    training = seconds_of(lambda: [stack.step(*next(batches)) for _ in range(steps)], device)
    x, y = held_out(data, stack.dtype)
    evaluate(stack.network, stack.params, x[:1000], y[:1000])
    testing = seconds_of(lambda: evaluate(stack.network, stack.params, x, y), device)
    return (training * total / steps + testing) / stack.size


def main() -> None:
    """Time the rounds and print them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=60, help="steps timed per measurement")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    device, seeds = args.device, 1 if args.device == "cpu" else 3
    data = load("cifar10", device)
    specs = floor.published(RULES, 256, 4, seeds, device=device)
    work = floor.count(specs, shape_of(specs[0], data), data.n_train, len(data.test_labels))
    rounds = []
    for _ in range(args.rounds):
        row = {"plain_default_threads": plain(args.steps, 0, device)}
        if device == "cpu":
            row["plain_one_thread"] = plain(args.steps, 1, device)
        for precision in ("fp32", "bf16"):
            rates = floor.measure(torch.device(device), precision)
            same = floor.published(RULES, 256, 4, seeds, precision=precision, device=device)
            row[f"stack_{precision}"] = stacked(data, args.steps, same)
            row[f"floor_{precision}"] = floor.seconds(work, rates)["sum"] / len(specs)
        one = [spec for spec in specs if spec.rule == "bp" and spec.k == spec.depth]
        row["one_run_fp32"] = stacked(data, args.steps, one[:1])
        rounds.append(row)
        print(json.dumps(row), file=sys.stderr)
    ratios = {
        f"{name} / stack_fp32": statistics.median(r[name] / r["stack_fp32"] for r in rounds)
        for name in rounds[0]
        if name.startswith("plain")
    }
    for precision in ("fp32", "bf16"):
        ratios[f"floor / stack, {precision}"] = statistics.median(
            r[f"floor_{precision}"] / r[f"stack_{precision}"] for r in rounds
        )
    result = {
        "benchmark": "epoch",
        "command": f"python -m benchmarks.epoch --rounds {args.rounds} --steps {args.steps} "
        f"--device {device}",
        "date": date.today().isoformat(),
        "hardware": hardware(device),
        "torch": torch.__version__,
        "runs": len(specs),
        "gflop_per_run_epoch": work.flops / len(specs) / 1e9,
        "seconds_per_run_epoch_median": {
            name: statistics.median(r[name] for r in rounds) for name in rounds[0]
        },
        "ratio_median": ratios,
        "rounds": rounds,
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
