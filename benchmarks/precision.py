"""What `precision` changes: accuracy and deep alignment of the same runs in fp32 and bf16.

Trains rules x k on CIFAR-10 (d=256, L=4) from the same init, batches and feedback: in fp32, in fp32
divided into other stacks (the same arithmetic summed in another order: what rounding alone does),
and in bf16 (on a GPU tf32 too). Prints JSON, one row per run, and a summary.

    CREDIT_DATA=... python -m benchmarks.precision --epochs 8
"""

import argparse
import json
from datetime import date

import torch

from benchmarks.common import hardware
from credit.data import Dataset, load
from credit.spec import RunSpec
from credit.sweep.networks import shape_of
from credit.sweep.sweep import resolve
from credit.training.loop import train
from credit.training.stack import Stack, arrange

METRICS = ("accuracy/test", "alignment/deep")


def final(data: Dataset, specs: list[RunSpec]) -> dict[str, dict[str, float]]:
    """Rule, k and seed -> the run's metrics after the last epoch."""
    stack = Stack(arrange(specs), shape_of(specs[0], data))
    *_, records = train(stack, data)
    named = [f"{spec.rule} k{spec.k} s{spec.seed}" for spec in stack.specs]
    return {
        named[record.row]: {m: record.metrics[m] for m in METRICS if m in record.metrics}
        for record in records
    }


def main() -> None:
    """Train the arms one after the other and print what differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--train-samples", type=int, default=0)
    args = parser.parse_args()
    data = load("cifar10", args.device, train_samples=args.train_samples)
    base = {
        "device": args.device,
        "epochs": args.epochs,
        "measure_every": args.epochs,
        "directions": 1,
        "train_samples": args.train_samples,
    }
    runs = [
        resolve(RunSpec(rule=rule, k=k, seed=seed, **base))
        for rule in ("bp", "oracle", "fa", "dfa")
        for k in (0, 2, 4)
        for seed in range(42, 42 + args.seeds)
    ]
    halves = [spec for spec in runs if spec.k], [spec for spec in runs if not spec.k]
    arms = {"fp32": final(data, runs)}
    arms["fp32, other stacks"] = final(data, halves[0]) | final(data, halves[1])
    for precision in ("bf16",) if args.device == "cpu" else ("tf32", "bf16"):
        arms[precision] = final(data, [spec.replace(precision=precision) for spec in runs])
    summary = {}
    for arm, results in arms.items():
        for metric in METRICS:
            apart = [
                abs(values[metric] - arms["fp32"][name][metric])
                for name, values in results.items()
                if metric in values and metric in arms["fp32"][name]
            ]
            if arm != "fp32":
                summary[f"{arm}: {metric}, mean and largest distance from fp32"] = [
                    sum(apart) / len(apart),
                    max(apart),
                ]
    result = {
        "benchmark": "precision",
        "command": f"python -m benchmarks.precision --epochs {args.epochs} --seeds {args.seeds} "
        f"--train-samples {args.train_samples} --device {args.device}",
        "date": date.today().isoformat(),
        "hardware": hardware(args.device),
        "torch": torch.__version__,
        "arms": arms,
        "summary": summary,
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
