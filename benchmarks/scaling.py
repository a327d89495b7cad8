"""How time and memory grow with runs, width, depth and measured directions.

Every point runs in a process of its own, so that its peak memory can be measured beside what the
planner expects. Steps and a part of the test set are timed and scaled to an epoch; diagnostics are
timed once, memory is measured in the first round. Rounds are interleaved; medians are reported.

R is 1 (fa, half of the blocks), 5 (fa x 5 k), 15 (bp, fa, dfa x 5 k) or 45 (the same three times:
three seeds on a GPU; on a CPU, where a stack holds one seed, told apart by credit_eps, which costs
nothing). All else is RunSpec's default: d=256, L=4, 32 directions, CIFAR-10 (see CREDIT_DATA).
Prints JSON; `--figure` draws it, as PNG and SVG.

    python -m benchmarks.scaling --figure docs/scaling.png > result.json
    python -m benchmarks.scaling --redraw result.json --figure docs/scaling.png
"""

import argparse
import itertools
import json
import math
import resource
import statistics
import subprocess
import sys
from datetime import date
from pathlib import Path

import psutil
import torch

from benchmarks.common import hardware, seconds_of
from benchmarks.epoch import WARM_UP
from credit.data import load
from credit.data.batches import held_out, train_batches
from credit.errors import CreditError
from credit.figures.page import save
from credit.spec import RunSpec
from credit.sweep import planning
from credit.sweep.networks import shape_of
from credit.sweep.sweep import resolve
from credit.training.measuring import EVALUATION_BATCH, evaluate, measure_held_out
from credit.training.stack import Stack, arrange

BASE = {"runs": 5, "width": 256, "depth": 4, "directions": 32}
FULL = {
    "runs": (1, 5, 15, 45),
    "width": (64, 128, 256, 512, 1024),
    "depth": (2, 4, 8, 12),
    "directions": (8, 32, 128),
}
QUICK = {
    "runs": (1, 5, 15),
    "width": (64, 256, 512),
    "depth": (2, 4, 8),
    "directions": (8, 32),
}
EVALUATED = 2 * EVALUATION_BATCH
"""Test images timed."""


def points_of(sweeps: dict[str, tuple[int, ...]]) -> list[dict]:
    """Every distinct point, with the names of the sweeps it belongs to."""
    points: dict[tuple, dict] = {}
    for name, values in sweeps.items():
        for value in values:
            settings = {**BASE, name: value}
            point = points.setdefault(tuple(settings.values()), {"sweeps": [], **settings})
            point["sweeps"].append(name)
    return list(points.values())


# ---------------------------------------------------------------- one point, in its own process


def specs_of(point: dict, device: str) -> list[RunSpec]:
    """The runs of a point, in the order of a stack."""
    depth, runs = point["depth"], point["runs"]
    ks = [round(i * depth / 4) for i in range(5)] if runs > 1 else [depth // 2]
    kinds = list(itertools.product(("bp", "fa", "dfa") if runs > 5 else ("fa",), ks))
    specs = []
    for i, (rule, k) in zip(range(runs), itertools.cycle(kinds), strict=False):
        seed = 42 + i // len(kinds) if device.startswith("cuda") else 42
        apart = {"credit_eps": 1e-6 * (1 + i / 1000), "seed": seed}
        sizes = {name: point[name] for name in ("width", "depth", "directions")}
        specs.append(resolve(RunSpec(rule=rule, k=k, device=device, **apart, **sizes)))
    return arrange(specs)


def memory_now(device: torch.device) -> int:
    """Bytes in use. From here on the peak counts anew."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_allocated(device)
    if sys.platform == "linux":
        Path("/proc/self/clear_refs").write_text("5")
    return psutil.Process().memory_info().rss


def memory_peak(device: torch.device) -> int:
    """Bytes in use at most, since `memory_now` (on Linux and GPUs; else since the start)."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if sys.platform == "linux":  # ru_maxrss starts from the parent's peak
        status = Path("/proc/self/status").read_text().split()
        return int(status[status.index("VmHWM:") + 1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def measure(point: dict, device: str, steps: int, first_round: bool) -> dict[str, float]:
    """Time one point; in the first round, measure its memory as well.

    Off the sweep over directions, diagnostics run for their memory only, on a CPU with one
    direction: how many there are hardly shows in memory there.
    """
    timed = "directions" in point["sweeps"]
    if not timed and not device.startswith("cuda"):
        point = {**point, "directions": 1}
    specs = specs_of(point, device)
    data = load("cifar10", device)
    shape = shape_of(specs[0], data)
    stack = Stack([specs[0].replace(width=8, measure_samples=16)], shape._replace(width=8))
    test = held_out(data, stack.dtype)
    part = test[0][:EVALUATED], test[1][:EVALUATED]
    batch = specs[0].batch_size

    def work(stack: Stack, count: int) -> dict[str, float]:
        batches = train_batches(data, stack.seeds, 0, batch, True, stack.dtype)
        for _ in range(WARM_UP):
            stack.step(*next(batches))
        step = seconds_of(lambda: [stack.step(*next(batches)) for _ in range(count)], stack.device)
        test_set = seconds_of(lambda: evaluate(stack.network, stack.params, *part), stack.device)
        found = {
            "train_seconds": step / count * math.ceil(data.n_train / batch),
            "test_seconds": test_set * len(test[1]) / EVALUATED,
        }
        if timed or first_round:
            found["measure_seconds"] = seconds_of(
                lambda: measure_held_out(stack, data), stack.device
            )
        return found

    work(stack, 1)  # loads code and makes the padded images
    del stack
    before = memory_now(torch.device(device))
    stack = Stack(specs, shape)
    found = work(stack, steps)
    found["epoch_seconds"] = found["train_seconds"] + found["test_seconds"]
    found["run_epoch_seconds"] = found["epoch_seconds"] / stack.size
    if first_round:
        found["peak_bytes"] = memory_peak(torch.device(device)) - before
        found["planned_bytes"] = planning.memory_needed(specs, shape)
    if not timed:
        found.pop("measure_seconds", None)
    return found


# ---------------------------------------------------------------- all points, round after round


def run_rounds(args: argparse.Namespace, device: str) -> dict:
    """Measure every point in every round, each in a new process."""
    points = points_of(QUICK if args.quick else FULL)
    for round_, point in itertools.product(range(args.rounds), points):
        task = {"point": point, "device": device, "steps": args.steps, "first_round": not round_}
        command = [sys.executable, "-m", "benchmarks.scaling", "--task", json.dumps(task)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stderr.strip() or f"{point} ended with status {done.returncode}")
        found = json.loads(done.stdout)
        print(json.dumps({"round": round_ + 1, **point, **found}), file=sys.stderr)
        for name, value in found.items():
            point.setdefault("rounds", {}).setdefault(name, []).append(value)
    for point in points:
        rounds = point.pop("rounds")
        point["median"] = {name: statistics.median(values) for name, values in rounds.items()}
        point["rounds"] = rounds
    options = f"--device {device} --rounds {args.rounds} --steps {args.steps}"
    return {
        "command": f"python -m benchmarks.scaling {options}" + " --quick" * args.quick,
        "date": date.today().isoformat(),
        "hardware": hardware(device),
        "torch": torch.__version__,
        "points": points,
    }


def parse() -> argparse.Namespace:
    """The command line; impossible values end the program with one line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument("--rounds", type=int, help="2, or 1 with --quick")
    parser.add_argument("--steps", type=int, help="timed per point; 12, or 6 with --quick")
    parser.add_argument("--quick", action="store_true", help="fewer points, for a first look")
    parser.add_argument("--figure", type=Path, help="draw into this file, as PNG and SVG")
    parser.add_argument("--redraw", type=Path, help="draw this JSON instead of measuring")
    parser.add_argument("--task", type=json.loads, help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.rounds = (1 if args.quick else 2) if args.rounds is None else args.rounds
    args.steps = (6 if args.quick else 12) if args.steps is None else args.steps
    for name in ("rounds", "steps"):
        if getattr(args, name) < 1:
            parser.error(f"--{name} {getattr(args, name)} is too few: pass at least 1")
    if args.redraw and not args.figure:
        parser.error("--redraw needs --figure PATH")
    return args


def main() -> None:
    """Measure, print, draw."""
    args = parse()
    try:
        if args.task:
            print(json.dumps(measure(**args.task)))
            return
        if args.redraw:
            result = json.loads(args.redraw.read_text())
        else:
            device = resolve(RunSpec(device=args.device)).device
            result = run_rounds(args, device)
            print(json.dumps(result, indent=2))
    except CreditError as error:
        sys.exit(str(error))
    if args.figure:
        from benchmarks.scaling_figure import draw  # here: points are measured without matplotlib

        save(draw(result), args.figure.with_suffix(""), ("png", "svg"))


if __name__ == "__main__":
    main()
