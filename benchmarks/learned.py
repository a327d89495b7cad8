"""What a training step costs, rule by rule and depth by depth, and what of it is forward passes.

The synthetic experiments' shape (d=128, batch 128): stacks of one rule on one thread, interleaved
over rounds; medians. Beside the milliseconds, per sample and step: multiply-adds in matrix
products, and the block evaluations that the vector field's central differences take, as configured
and as they would be with every sample shown at every layer.

    python -m benchmarks.learned [--rounds 5] [--runs 12]
"""

import argparse
import json
import statistics
from datetime import date
from functools import partial

import torch

from benchmarks.common import hardware, seconds_of
from credit.experiments.nonlinearity_ladder import PRESETS
from credit.lab import fields
from credit.rules import Shape
from credit.spec import RunSpec
from credit.sweep.sweep import resolve
from credit.training.stack import Stack, arrange
from credit.training.steppers import products_of

RULES = ("bp", "dfa", "state_bridge", "credit_bridge", "vector_field")
DEPTHS = (2, 4, 8, 12)
INPUTS, CLASSES = 24, 10
WARM_UP = 2


def rollouts(spec: RunSpec, every_layer: bool = False) -> float:
    """Block evaluations per sample and update of the vector field.

    A row shown at layer l has L - l blocks before it, (L + 1) / 2 on average, and 2 M ends (M + 1
    with forward differences).
    """
    depth = spec.depth
    shown = depth if every_layer else min(spec.estimator_layers or depth, depth)
    ends = spec.field_directions + (1 if spec.one_sided else spec.field_directions)
    return ends * shown * (depth + 1) / 2


def stack_of(rule: str, depth: int, runs: int) -> Stack:
    """`runs` runs of one rule, past their warm-up."""
    common: dict[str, object] = {**fields(PRESETS["published"])}
    common |= {"depth": depth, "k": depth, "rule": rule, "device": "cpu"}
    common |= {"activation": "phi", "warmup_ratio": 0}
    specs = [resolve(RunSpec.from_mapping({**common, "alpha": i / runs})) for i in range(runs)]
    return Stack(arrange(specs), Shape(INPUTS, specs[0].width, CLASSES, depth))


def main() -> None:
    """Time every rule at every depth and print them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--runs", type=int, default=12)
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for depth in DEPTHS:
        stacks = {rule: stack_of(rule, depth, args.runs) for rule in RULES}
        samples = next(iter(stacks.values())).specs[0].batch_size
        x, y = torch.randn(samples, INPUTS), torch.randint(CLASSES, (samples,))
        taken: dict[str, list[float]] = {rule: [] for rule in RULES}
        for round_ in range(WARM_UP + args.rounds):
            for rule, stack in stacks.items():
                stack.set_phase(0, stack.specs[0].epochs)
                seconds = seconds_of(partial(stack.step, x, y), "cpu")
                if round_ >= WARM_UP:
                    taken[rule].append(1e3 * seconds / args.runs)
        for rule, stack in stacks.items():
            spec = stack.specs[0]
            row = {
                "rule": rule,
                "depth": depth,
                "milliseconds_per_run_step": round(statistics.median(taken[rule]), 2),
                "products_per_sample": products_of(spec, stack.shape),
            }
            if rule == "vector_field":
                row["rollouts_per_sample"] = rollouts(spec)
                row["rollouts_at_every_layer"] = rollouts(spec, every_layer=True)
            rows.append(row)
    result = {
        "benchmark": "learned",
        "command": f"python -m benchmarks.learned --rounds {args.rounds} --runs {args.runs}",
        "date": date.today().isoformat(),
        "hardware": hardware("cpu"),
        "torch": torch.__version__,
        "threads": 1,
        "rows": rows,
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
