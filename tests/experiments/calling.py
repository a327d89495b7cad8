"""An experiment as people run it: a process of its entry point on a tiny network of `digits`."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd

from credit.tracking.reader import connect

ROOT = Path(__file__).parents[2]
TINY = {
    "dataset": "digits",
    "epochs": "1",
    "measure_every": "1",
    "measure_samples": "64",
    "directions": "2",
    "device": "cpu",
}
LEARNS = {"estimator_width": "16"}


def call(kind: str, **options: Any) -> subprocess.CompletedProcess:
    """Return the finished process of an entry point, whatever its status."""
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    command = [sys.executable, "-m", f"entrypoints.{kind}", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def finish(kind: str, **options: Any) -> tuple[str, pd.DataFrame]:
    """Return the parent run that an entry point has left, and its runs."""
    done = call(kind, **{**TINY, **options})
    assert done.returncode == 0, done.stderr
    parent = connect().newest(kind)
    return parent, connect().runs(parent=parent)
