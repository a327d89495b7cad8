"""Seconds that a sweep of 10,000 runs needs beside training: planning, the store, the scheduler.

A store in a temporary folder has all its runs, unfinished; rows are copies of those that the
product's own writer made. Digits, 15 runs a stack (bp, fa and dfa, k = 0 to 4). Timed:

- resolve: defaults and the rules' own refusals, for every spec;
- prepare: data, and whether every run fits into memory (`Networks`, `check`);
- plan: the stacks, of runs of which none has begun;
- find: which runs the store has (`find_children`): SQLite; for some, an `mlflow server`, too;
- schedule: the whole of `Scheduler.train` for the first 1,000 runs, with a launcher whose workers
  end at once.

Prints JSON: seconds of wall time and of this process' CPU, and how often the store was asked.

    python -m benchmarks.clusters.planning
"""

import argparse
import contextlib
import itertools
import json
import math
import os
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest.mock import patch

import requests
from tqdm import tqdm

from benchmarks.common import hardware
from benchmarks.reading import Pattern, behind_a_server
from benchmarks.tracking import KEYS, serve
from credit.spec import RunSpec
from credit.sweep.launchers.base import Ended, Take, environment
from credit.sweep.networks import Networks
from credit.sweep.scheduler import Scheduler
from credit.sweep.sweep import resolve
from credit.sweep.worker import Settled, Task
from credit.tracking import rows
from credit.tracking.marks import PARENT, SPEC
from credit.tracking.store import Store
from credit.tracking.writer import (
    Writer,
    find_children,
    finish,
    open_child,
    open_parent,
    open_store,
)

STACK = [(rule, k) for rule in ("bp", "fa", "dfa") for k in range(5)]
WIDTHS, SEEDS = (16, 32, 48), (1, 2, 3)
SOME = 1000  # runs that are scheduled
BY_HTTP = 200  # hashes that the server is asked for


def grid(count: int) -> list[RunSpec]:
    """Specs of stacks that differ in width, seed and learning rate."""
    rates = range(1, 1 + math.ceil(count / len(STACK) / len(WIDTHS) / len(SEEDS)))
    every = itertools.product(rates, WIDTHS, SEEDS, STACK)
    return [
        RunSpec(
            dataset="digits", rule=rule, k=k, seed=seed, width=width, lr=rate * 1e-5, device="cpu"
        )
        for rate, width, seed, (rule, k) in itertools.islice(every, count)
    ]


def fill(database: Path, store: Store, specs: list[RunSpec], folder: Path) -> str:
    """Put a stopped run of every spec into the store; return their parent's id."""
    parent_id = open_parent(store, "ladder", "ladder", {}, "0" * 16, "synthetic")
    child_id = open_child(store, parent_id, specs[0])
    with Writer(store, folder / "journal") as writer:
        writer.log(child_id, 1, dict.fromkeys(KEYS, 1.0))
        writer.finish(child_id, "KILLED", "stopped")
    finish(store, parent_id, "KILLED")
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.row_factory = sqlite3.Row
        child = Pattern(connection, child_id)
        for number, spec in enumerate(specs[1:], start=1):
            values = {PARENT: parent_id, SPEC: spec.spec_hash, **spec.to_params()}
            child.copy(connection, spec.name, 1_700_000_000_000 + number, values)
        connection.commit()
    return parent_id


class Ending:
    """A launcher whose workers leave every stack at once."""

    def __init__(self) -> None:
        self.stacks = 0

    def run(self, take: Take, watch: Callable[[], None]) -> Generator[Ended, None, None]:
        """End stacks, as `Launcher.run`."""
        while task := take():
            self.stacks += 1
            ids = {spec.spec_hash: "" for spec in task.specs}
            yield Ended(task, Settled(ids, {}))
            watch()


@contextlib.contextmanager
def counted(asked: list[str]) -> Iterator[None]:
    """Note queries of a SQLite file and requests to a server."""
    read_only, request = rows.read_only, requests.Session.request

    @contextlib.contextmanager
    def reading(path: Path) -> Iterator[sqlite3.Connection]:
        with read_only(path) as database:
            database.set_trace_callback(asked.append)
            yield database

    def asking(*args: Any, **kwargs: Any) -> requests.Response:
        asked.append("request")
        return request(*args, **kwargs)

    sessions = patch.object(requests.Session, "request", asking)
    with patch.object(rows, "read_only", reading), sessions:
        yield


def timed(work: Callable[[], Any], repeats: int) -> tuple[dict[str, float], Any]:
    """Return medians of wall time and CPU with the questions to the store, and the last result."""
    wall, cpu, asked, given = [], [], [], None
    with counted(asked):
        for _ in range(repeats):
            started, spent = time.perf_counter(), time.process_time()
            given = work()
            wall.append(time.perf_counter() - started)
            cpu.append(time.process_time() - spent)
    medians = {"wall": statistics.median(wall), "cpu": statistics.median(cpu)}
    figures = medians | {"asked": len(asked) / repeats}
    return {name: round(value, 3) for name, value in figures.items()}, given


def measure(folder: Path, count: int, repeats: int) -> dict[str, Any]:
    """Return all figures."""
    database, state = folder / "mlflow.db", folder / "state"
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{database}"
    store, took = open_store(), {}
    took["resolve"], specs = timed(lambda: [resolve(spec) for spec in grid(count)], repeats)
    hashes = [spec.spec_hash for spec in specs]
    parent_id = fill(database, store, specs, folder)

    def prepare() -> Networks:
        work = Networks(specs, specs, store)
        work.check(specs)
        return work

    took["prepare"], work = timed(prepare, repeats)
    took["plan"], stacks = timed(lambda: work.plan(specs, {}, {}), repeats)
    took["find"], found = timed(lambda: find_children(store, hashes), repeats)
    ending = Ending()
    with Writer(store, folder / "journal") as writer:
        template = Task(
            specs=(),
            parent_id=parent_id,
            names={},
            owner="",
            state=state,
            uploads=False,
            take_over=False,
            context={},
            training=Networks,
            environment=environment(store),
        )
        scheduler = Scheduler(specs[:SOME], work, store, writer, template)
        bar = tqdm(disable=True)
        took[f"schedule {SOME}"], _ = timed(lambda: scheduler.train(ending, bar), 1)
    some = hashes[:BY_HTTP]
    with serve(folder, f"sqlite:///{behind_a_server(folder)}") as (uri, _):
        os.environ["MLFLOW_TRACKING_URI"] = uri
        remote = open_store()
        took[f"find {len(some)} by HTTP"], _ = timed(lambda: find_children(remote, some), 1)
    assert len(found) == count
    return {"runs": count, "stacks": len(stacks), "scheduled": ending.stacks, "seconds": took}


def main() -> None:
    """Measure and print JSON."""
    kind = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=kind)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="credit-planning-") as folder:
        figures = measure(Path(folder), args.runs, args.repeats)
    result = {
        "command": " ".join(["python -m benchmarks.clusters.planning", *sys.argv[1:]]),
        "date": date.today().isoformat(),
        "hardware": hardware("cpu"),
        "load": round(os.getloadavg()[0], 1),
        "mlflow": version("mlflow"),
        **figures,
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
