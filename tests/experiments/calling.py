"""An experiment as people run it: a process of its entry point on a tiny network of `digits`."""

import subprocess
from typing import Any

import pandas as pd

from credit.tracking.reader import connect
from tests.commands import entry

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
    return entry(kind, *(f"--{name}={value}" for name, value in options.items()))


def finish(kind: str, **options: Any) -> tuple[str, pd.DataFrame]:
    done = call(kind, **{**TINY, **options})
    assert done.returncode == 0, done.stderr
    parent = connect().newest(kind)
    return parent, connect().runs(parent=parent)
