"""Whether a long training holds its memory and its pace: any command of the project, watched.

The command runs as a child process. Every few seconds the resident memory of it and of all it
starts is added up. After the minutes it is asked to stop (SIGTERM) and must end by itself. What an
epoch took is then read from the tracking store, from the series `time/epoch_seconds` of the runs
that these processes own. JSON, with every sample, and a figure go to a folder; a verdict line is
printed.

    python -m benchmarks.soak --minutes 30 -- python -m entrypoints.ladder --seeds 42

A bare `python` is the one that runs the benchmark. The exit status is 1 if the command failed or
did not end when asked to.
"""

import argparse
import json
import os
import signal
import socket
import statistics
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
from credit.analysis.selection import in_seconds  # noqa: F401
from credit.tracking.marks import OWNER
from credit.tracking.reader import connect

SERIES = "time/epoch_seconds"
WARM_UP_SHARE = 0.2
"""Of the time watched, at its start: imports, caches, the first epochs and the first measurement."""
MEMORY_LIMIT = 40.0
"""MB an hour, either way of noise: a training of a whole day then grows by less than a GB."""
DRIFT_LIMIT = 0.10
"""An epoch a tenth longer: more than a quiet machine's epochs differ, though not a shared one's."""
FEWEST_EPOCHS = 6
PATIENCE_S = 240
"""For the end: the step under way, then up to two minutes for what the store has not got yet."""
_POINTS = 600
"""Most samples that the slope is taken from; more are averaged in groups."""


@dataclass(frozen=True)
class Sample:
    """Memory at one moment."""

    seconds: float  # since the start
    rss_mb: float  # 10^6 bytes, of all processes together
    processes: int
    load: float  # of the machine, mean of the last minute


@dataclass(frozen=True)
class Ending:
    """How the command ended, and what was seen until then."""

    samples: list[Sample]
    owners: list[str]  # as the tag `credit.owner` has them
    code: int
    stopped: bool  # it was asked to
    killed: bool  # it was asked to and did not


def watch(command: Sequence[str], seconds: float, every: float) -> Ending:
    """Run `command` for at most `seconds`, sampled `every` so many seconds; then see it end."""
    child = subprocess.Popen(command)
    started, samples, owners = time.monotonic(), [], {}
    stopped = killed = False
    try:
        while child.poll() is None and (passed := time.monotonic() - started) < seconds:
            rss, alive = 0, _family(child.pid)
            for process in alive:
                try:
                    rss += process.memory_info().rss
                    owners.setdefault(process.pid, _owner(process))
                except psutil.NoSuchProcess:
                    pass
            if rss:
                samples.append(Sample(passed, rss / 1e6, len(alive), os.getloadavg()[0]))
            rest = min(every, started + seconds - time.monotonic())
            try:
                child.wait(max(rest, 0))
            except subprocess.TimeoutExpired:
                continue
    finally:
        if child.poll() is None:
            stopped = True
            child.send_signal(signal.SIGTERM)
            try:
                child.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                killed = True
                child.kill()
    return Ending(samples, list(owners.values()), child.wait(), stopped, killed)
