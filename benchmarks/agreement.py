"""Whether float64 finds the gradients that float32 finds, however far a network has grown.

Trains the first epochs of published runs with every block (CIFAR-10, d=256, L=4) and measures after
each; or measures the runs of checkpoints, finished or not. Draws agreement, Γ and ‖h_L‖·‖g_L‖
against ‖g_L‖, one point per run and epoch, and times what measuring the ladder's stack of 15 runs
is made of. JSON.

    CREDIT_DATA=... python -m benchmarks.agreement --figure docs/agreement.png
    CREDIT_DATA=... python -m benchmarks.agreement --checkpoints "$CREDIT_STATE"/*.safetensors
"""

import argparse
import itertools
import json
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from matplotlib.figure import Figure

from benchmarks.common import hardware, seconds_of
from credit import measures
from credit.data import load
from credit.figures.page import finish, page, save, say
from credit.figures.style import TEXT, entry, level, look, tidy
from credit.lab.protocol import POOR, SAMPLE_FLOOR
from credit.measures import agreement, validity
from credit.spec import RunSpec
from credit.sweep.networks import labels_seed, shape_of
from credit.sweep.sweep import resolve
from credit.training import checkpoint
from credit.training.loop import train
from credit.training.measuring import measure_held_out
from credit.training.stack import Stack, arrange

COLUMNS = ("agreement", "status", "alignment_mean", "hidden_norm", "grad_norm", "sensitivity")
COLUMNS += ("rho", "rho_g", "rho_status", "rho_relative", "rho_relative_g", "rho_relative_status")
LADDER = ("bp", "fa", "dfa")


def point(spec: RunSpec, epoch: int, metrics: dict, layers: list[dict]) -> dict[str, Any]:
    """Return one run at one epoch, by layer."""
    row = {"rule": spec.rule, "k": spec.k, "seed": spec.seed, "epoch": epoch}
    row["accuracy"] = metrics.get("accuracy/test")
    return row | {name: [layer[name] for layer in layers] for name in COLUMNS}


def trained(args: argparse.Namespace) -> Iterator[dict]:
    """Yield every run after each of the first epochs of a training."""
    common = {"train_samples": args.train_samples, "measure_every": 1}
    common["directions"] = args.directions
    specs = [resolve(RunSpec(rule=rule, k=4, **common)) for rule in args.rules.split(",")]
    data = load("cifar10", train_samples=args.train_samples)
    stack = Stack(arrange(specs), shape_of(specs[0], data))
    for records in itertools.islice(train(stack, data), args.epochs):
        for one in records:
            yield point(stack.specs[one.row], one.epoch, one.metrics, one.layers)
        print(f"epoch {records[0].epoch}", file=sys.stderr)


def stored(paths: list[Path]) -> Iterator[dict]:
    """Yield every run of some checkpoints, as they are."""
    for path in paths:
        header = checkpoint.read_header(path)
        for row, spec in enumerate(header.specs):
            samples, labels = spec.train_samples, labels_seed(spec)
            data = load(spec.dataset, train_samples=samples, labels_seed=labels)
            stack = Stack([spec.replace(device="cpu")], shape_of(spec, data))
            checkpoint.restore(stack, [(header, row)])
            (report,) = measure_held_out(stack, data)
            yield point(spec, header.epoch, report.metrics, report.layers)


def cost() -> dict[str, float]:
    """Return seconds of measuring the ladder's 15 runs at initialisation, whole and in parts."""
    data = load("cifar10")
    specs = [resolve(RunSpec(rule=rule, k=k)) for rule in LADDER for k in range(5)]
    stack = Stack(arrange(specs), shape_of(specs[0], data))
    spent: dict[str, float] = defaultdict(float)

    def timed(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*given: Any) -> Any:
            found: list[Any] = []
            spent[name] += seconds_of(lambda: found.append(work(*given)), "cpu")
            return found[0]

        return wrapped

    parts = {name: timed(name, work) for name, work in measures.available().items()}
    with (
        mock.patch.object(measures, "available", return_value=parts),
        mock.patch.object(agreement, "of_run", timed("agreement", agreement.of_run)),
    ):
        timed("whole", measure_held_out)(stack, data)
    shares = {
        f"share of {name}": spent[name] / spent["whole"] for name in ("agreement", "relative")
    }
    return {**spent, **shares}


def draw(result: dict) -> Figure:
    """Draw three panels against ‖g_L‖ of a sample; points of a run are joined over its epochs.

    Args:
        result: what this benchmark prints.
    """
    points = result["points"]
    figure, [panels] = page("Is the gradient a reference?", [3])
    runs: dict[tuple, list[dict]] = {}
    for one in points:
        runs.setdefault((one["rule"], one["k"], one["seed"]), []).append(one)
    for (rule, *_), own in runs.items():
        x = [one["grad_norm"][-1] for one in own]
        apart = [max(1 - min(one["agreement"]), 1e-16) for one in own]
        middle = [one["alignment_mean"][len(one["agreement"]) // 2] for one in own]
        sensitivity = [one["sensitivity"][-1] for one in own]
        for axes, values in zip(panels, (apart, middle, sensitivity), strict=True):
            axes.errorbar(x, values, **look(rule))
    texts = (
        ("1 − agreement", "float32 against float64, the worst layer"),
        ("Γ at h_2", "cosine of credit and gradient"),
        ("‖h_L‖·‖g_L‖", "loss change per relative step"),
    )
    for axes, (y, text) in zip(panels, texts, strict=True):
        tidy(axes)
        axes.set_xscale("log")
        axes.set_xlabel("‖g_L‖ of a sample", fontsize=TEXT)
        axes.set_ylabel(y, fontsize=TEXT)
        axes.axvline(SAMPLE_FLOOR, color="grey", linewidth=0.8, linestyle=":")
        say(axes, text)
    panels[0].set_yscale("log")
    level(panels[0], 1 - validity.AGREES)
    panels[1].axhspan(-POOR, POOR, color="grey", alpha=0.15, linewidth=0)
    panels[2].set_ylim(0)
    footnote = (
        f"{len(runs)} runs, a point per epoch, medians over {result['samples']} held-out samples "
        "(Γ: mean); dotted upright: the bound of D2, 1e-7 of a mean over 1024 samples; "
        f"level: agreement .99; {result['hardware']}, {result['date']}"
    )
    rules = dict.fromkeys(one["rule"] for one in points)
    finish(figure, [entry(rule, **look(rule)) for rule in rules], footnote)
    return figure


def main() -> None:
    """Measure, print JSON, draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rules", default=",".join(LADDER))
    parser.add_argument("--epochs", type=int, default=8, help="the first ones of 100")
    parser.add_argument("--train-samples", type=int, default=0)
    parser.add_argument("--directions", type=int, default=8)
    parser.add_argument("--checkpoints", type=Path, nargs="*", default=[])
    parser.add_argument("--figure", type=Path)
    args = parser.parse_args()
    points = [*(stored(args.checkpoints) if args.checkpoints else trained(args))]
    result = {
        "benchmark": "agreement",
        "command": " ".join(["python -m benchmarks.agreement", *sys.argv[1:]]),
        "date": date.today().isoformat(),
        "hardware": hardware("cpu"),
        "torch": torch.__version__,
        "samples": RunSpec.measure_samples,
        "points": points,
        "seconds of measuring 15 runs": cost(),
    }
    print(json.dumps(result))
    if args.figure:
        save(draw(result), args.figure.with_suffix(""), ["png"])


if __name__ == "__main__":
    main()
