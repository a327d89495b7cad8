"""The CPU suite: every benchmark, one after the other, and one table of ratios and medians.

Under 15 minutes on two cores. The JSON that each prints goes to a folder.

    CREDIT_DATA=... python -m benchmarks --folder /tmp/bench
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tqdm import tqdm

SUITE = {
    "epoch": ["--rounds", "3", "--steps", "60"],
    "scaling": ["--quick"],
    "tracking": [],
    "startup": [],
    "reading": ["--quick"],
}


Row = tuple[str, str, str]
"""Benchmark, figure, value."""


def epoch(result: dict) -> list[Row]:
    """Seconds per run-epoch, ratios to the plain loop, share of the floor."""
    seconds = result["seconds_per_run_epoch_median"].items()
    rows = [("epoch", f"{name}, seconds a run-epoch", f"{value:.2f} s") for name, value in seconds]
    for name, value in result["ratio_median"].items():
        text = f"{value:.0%}" if name.startswith("floor") else f"{value:.1f} x"
        rows.append(("epoch", name, text))
    return rows


def scaling(result: dict) -> list[Row]:
    """Seconds a run-epoch along each sweep, and the planner against measured memory."""
    rows = []
    for point in result["points"]:
        where = "R={runs}, d={width}, L={depth}".format(**point)
        median = point["median"]
        rows.append(("scaling", f"{where}, a run-epoch", f"{median['run_epoch_seconds']:.2f} s"))
        if "measure_seconds" in median:
            what = f"{where}, measuring with {point['directions']} directions"
            rows.append(("scaling", what, f"{median['measure_seconds']:.1f} s"))
        if "runs" in point["sweeps"] and "peak_bytes" in median:
            planned = median["planned_bytes"] / median["peak_bytes"]
            rows.append(("scaling", f"{where}, planned over measured memory", f"{planned:.2f} x"))
    return rows


def tracking(result: dict) -> list[Row]:
    """Share of training time that logging takes."""
    return [
        ("tracking", f"{store}, {length}: {name}", f"{figures[name]:.3g} {unit}")
        for store in ("sqlite", "http")
        for length, figures in result[store].items()
        if isinstance(figures, dict)
        for name, unit in (("blocked_ms_median", "ms"), ("share_percent", "%"))
    ]


def startup(result: dict) -> list[Row]:
    """Seconds to the first step."""
    found = result["seconds_to_first_step_of_72_runs"].items()
    return [
        ("startup", f"first step of 72 runs, {store}", f"{values['median']:.1f} s")
        for store, values in found
    ]


def reading(result: dict) -> list[Row]:
    """Seconds to read runs back."""
    return [
        ("reading", f"{store}, {name}, store of {result['runs']} runs", f"{seconds:.2f} s")
        for store, reads in result["seconds_median"].items()
        for name, seconds in reads.items()
    ]


TABLES: dict[str, Callable[[dict], list[Row]]] = {
    table.__name__: table for table in (epoch, scaling, tracking, startup, reading)
}


def run(name: str) -> dict[str, Any]:
    """What one benchmark prints."""
    module = "tracking" if name == "startup" else name
    options = ["--startup"] if name == "startup" else SUITE[name]
    command = [sys.executable, "-m", f"benchmarks.{module}", *options]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed")
    return json.loads(done.stdout)


def main() -> None:
    """Run the suite and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("bench"), help="for the JSON files")
    parser.add_argument("--only", choices=list(SUITE), nargs="*", default=list(SUITE))
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    lines, started = [], time.monotonic()
    for name in tqdm(args.only, unit="benchmark"):
        result = run(name)
        (args.folder / f"{name}.json").write_text(json.dumps(result, indent=2) + "\n")
        lines += TABLES[name](result)
    print(f"{'benchmark':10} {'figure':62} {'median':>12}")
    for name, figure, value in lines:
        print(f"{name:10} {figure:62} {value:>12}")
    print(f"\n{(time.monotonic() - started) / 60:.1f} minutes; JSON is in {args.folder}")


if __name__ == "__main__":
    main()
