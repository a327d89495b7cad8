"""Whether a long training holds its memory and its pace: a command of the project, watched.

The command runs as a child process. Every few seconds the resident memory of it and of all that it
starts is added up. After the minutes it is asked to stop (SIGTERM) and has to end by itself. What
its epochs took is then read from the tracking store: the series `time/epoch_seconds` of the runs
that these processes trained. JSON with every sample, and a figure, go to a folder; the last line is
the verdict.

    python -m benchmarks.soak --minutes 30 -- python -m entrypoints.ladder --seeds 42

A bare `python` is the one that runs the benchmark. The exit status is 1 if the command failed, or
did not end when asked to.
"""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import torch

from benchmarks.common import hardware
from benchmarks.soak_figure import draw
from credit.errors import CreditError
from credit.figures.page import save
from credit.tracking.reader import connect

SERIES = "time/epoch_seconds"
"""Training and the test set; measuring is not in it."""
WARM_UP_SHARE = 0.2
"""Of the time watched, at its start: imports, caches, the first epochs. It is left out."""
MEMORY_LIMIT = 40.0
"""MB an hour: a training of a whole day then grows by less than a GB."""
DRIFT_LIMIT = 0.10
"""A share of an epoch's time: twice what epochs of an idle machine differ by."""
FEWEST_EPOCHS, FEWEST_MINUTES = 7, 10.0
"""Below these nothing is judged: each third of a stack's epochs has at least two."""
STOPPED = 128 + signal.SIGTERM
"""How an entry point ends that was asked to stop."""
PATIENCE_S = 240
"""For that end: the step under way, then up to two minutes for what the store has not got yet."""
_POINTS = 600
"""Most points a slope is taken from; more samples are averaged in groups."""


@dataclass(frozen=True)
class Sample:
    """One moment."""

    seconds: float  # since the start
    rss_mb: float  # of all processes together, a MB being 10^6 bytes
    processes: int
    load: float  # of the whole machine, mean of the last minute


@dataclass(frozen=True)
class Watched:
    """A command from its start to its end."""

    samples: list[Sample]
    exit_code: int
    ended: str  # "by itself", "when asked to" or "killed"


def watch(command: Sequence[str], seconds: float, every: float) -> Watched:
    """Run `command` for at most `seconds`, sampling every so many, and see it end."""
    samples, ended = [], "by itself"
    started = time.monotonic()
    child = subprocess.Popen(command, start_new_session=True)  # Ctrl-C is for this process
    try:
        while child.poll() is None and (passed := time.monotonic() - started) < seconds:
            rss, count = 0, 0
            for process in _family(child.pid):
                with contextlib.suppress(psutil.Error):  # it has just ended
                    rss += process.memory_info().rss
                    count += 1
            if rss:
                samples.append(Sample(passed, rss / 1e6, count, os.getloadavg()[0]))
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(min(every, seconds - passed))
    finally:
        family = _family(child.pid)
        if child.poll() is None:
            ended = "when asked to"
            child.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(PATIENCE_S)
        for process in psutil.wait_procs(family, 5)[1]:
            ended = "killed"
            with contextlib.suppress(psutil.Error):
                process.kill()
    return Watched(samples, child.wait(), ended)


def _family(pid: int) -> list[psutil.Process]:
    """A process and all below it; none if it has ended."""
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def trained(since_ms: int) -> pd.DataFrame:
    """Return the epochs that were trained since then, as `stack_epochs` has them."""
    try:
        reader = connect()
    except CreditError:  # stopped before there was a store
        return stack_epochs(pd.DataFrame(columns=["run_id", "step", "value", "timestamp"]), 0)
    return stack_epochs(reader.history(set(reader.runs()["run_id"]), [SERIES]), since_ms)


def stack_epochs(history: pd.DataFrame, since_ms: int) -> pd.DataFrame:
    """One row per epoch of a stack: stack, step, seconds, minutes (of its end, since `since_ms`).

    The runs of a stack train together and log the very same number.

    Args:
        history: columns run_id, step, value, timestamp, of `SERIES`.
        since_ms: older epochs belong to an earlier process.
    """
    stacks: dict[str, int] = {}
    rows = []
    new = history.query("timestamp >= @since_ms").sort_values("timestamp", kind="stable")
    for (step, seconds), group in new.groupby(["step", "value"], sort=False):  # pyright: ignore
        known = [stacks[run_id] for run_id in group["run_id"] if run_id in stacks]
        stack = known[0] if known else len(set(stacks.values()))
        stacks |= dict.fromkeys(group["run_id"], stack)
        rows.append((stack, step, seconds, (group["timestamp"].min() - since_ms) / 60_000))
    return pd.DataFrame(rows, columns=["stack", "step", "seconds", "minutes"])


def memory(samples: Sequence[Sample], warm_up: float) -> dict:
    """Resident memory after `warm_up` seconds, and its slope in MB an hour.

    The slope is the median of those between any two points (Theil and Sen): a peak, while the runs
    are measured or saved, does not tilt it.
    """
    kept = [sample for sample in samples if sample.seconds >= warm_up]
    groups = [g for g in np.array_split(np.arange(len(kept)), _POINTS) if len(g)]
    hours = np.array([np.mean([kept[i].seconds for i in g]) for g in groups]) / 3600
    mb = np.array([np.mean([kept[i].rss_mb for i in g]) for g in groups])
    first, second = np.triu_indices(len(groups), 1)
    slopes = (mb[second] - mb[first]) / (hours[second] - hours[first])
    slope = float(np.median(slopes)) if len(slopes) else None
    minutes = (kept[-1].seconds - kept[0].seconds) / 60 if kept else 0.0
    status = "too short" if slope is None or minutes < FEWEST_MINUTES else "holds"
    if status == "holds" and slope is not None and slope > MEMORY_LIMIT:
        status = "grows"
    return {
        "status": status,
        "slope_mb_per_hour": slope,
        "median_mb": float(np.median(mb)) if len(mb) else None,
        "peak_mb": max((sample.rss_mb for sample in samples), default=None),
        "warm_up_minutes": warm_up / 60,
        "minutes": minutes,
        "n": len(kept),
    }


def pace(epochs: pd.DataFrame) -> dict:
    """How much longer the last third of the epochs took than the first, as a share.

    Thirds are taken within each stack, whose epochs are alike, its first epoch left out; times are
    in units of the stack's median. Stacks with fewer than `FEWEST_EPOCHS` do not count.
    """
    first, last, seconds = [], [], []
    for _, stack in epochs.groupby("stack"):
        if len(stack) < FEWEST_EPOCHS:
            continue
        times = stack.sort_values("step")["seconds"].to_numpy(float)[1:]
        third = len(times) // 3
        first += list(times[:third] / np.median(times))
        last += list(times[-third:] / np.median(times))
        seconds += list(times)
    if not seconds:
        return {"status": "too short", "drift": None, "median_seconds": None, "n": 0}
    drift = float(np.median(last) / np.median(first) - 1)
    return {
        "status": "slows down" if drift > DRIFT_LIMIT else "holds",
        "drift": drift,
        "median_seconds": float(np.median(seconds)),
        "n": len(seconds),
    }


def sentence(result: dict) -> str:
    """The verdict line."""
    held, paced = result["memory"], result["pace"]
    text = f"memory {held['status']}"
    if held["slope_mb_per_hour"] is not None:
        text += (
            f": {held['slope_mb_per_hour']:+.1f} MB/hour after {held['warm_up_minutes']:.1f} min "
            f"of warm-up, median {held['median_mb']:.0f} MB (n={held['n']})"
        )
    text += f"; pace {paced['status']}"
    if paced["drift"] is not None:
        text += (
            f": median epoch {paced['drift']:+.1%} from first to last third, "
            f"{paced['median_seconds']:.3g} s (n={paced['n']})"
        )
    return f"{text}; ended {result['ended']}, status {result['exit_code']}"


def main() -> int:
    """Watch the command, judge what was seen, and write it down."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--every", type=float, default=5.0, help="seconds between two samples")
    parser.add_argument("--folder", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--name", default="soak_cpu", help="of the files, before the date")
    parser.add_argument("command", nargs="+", help="after --, such as python -m entrypoints.train")
    args = parser.parse_args()
    command = [sys.executable if args.command[0] == "python" else args.command[0]]
    since_ms = time.time_ns() // 1_000_000
    seen = watch([*command, *args.command[1:]], 60 * args.minutes, args.every)
    epochs = trained(since_ms)
    length = seen.samples[-1].seconds if seen.samples else 0.0
    result = {
        "benchmark": "soak",
        "command": " ".join(["python -m benchmarks.soak", *sys.argv[1:]]),
        "watched": " ".join(args.command),
        "date": date.today().isoformat(),
        "hardware": f"{os.cpu_count()} cores, {hardware('cpu').partition(', ')[2]}",
        "torch": torch.__version__,
        "ended": seen.ended,
        "exit_code": seen.exit_code,
        "memory": memory(seen.samples, WARM_UP_SHARE * length),
        "pace": pace(epochs),
        "samples": [
            {name: round(value, 1) for name, value in asdict(sample).items()}
            for sample in seen.samples
        ],
        "epochs": epochs.round(4).to_dict("records"),
    }
    args.folder.mkdir(parents=True, exist_ok=True)
    path = args.folder / f"{args.name}_{result['date']}.json"
    lines = json.dumps(result, indent=1, allow_nan=False)
    path.write_text(lines + "\n")
    save(draw(result), path.with_suffix(""), ("png", "svg"))
    print(f"raw     {path}, figure beside it\n{sentence(result)}")
    clean = seen.exit_code in (0, STOPPED) and seen.ended != "killed"
    return 0 if clean else 1


if __name__ == "__main__":
    sys.exit(main())
