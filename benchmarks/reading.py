"""Seconds to read runs back: from a SQLite file, and over HTTP from a real `mlflow server`.

One synthetic store in a temporary folder: 10,000 runs below 150 ladders, of which the newest uses
72 runs with 100 epochs of 25 series each. All rows are copies of those that the product's own
writer made for one parent and one child. Timed, each time from `connect()` on:

- history: the runs of the newest ladder and every value they logged, 180,000 points;
- ladder: newest ladder -> its children -> frame of runs, as the notebook and `make report` ask;
- all: the frame of all runs; from SQLite only, a server takes minutes.

Prints JSON: medians and every repeat in seconds, and whether both ways gave the same frames.

    python -m benchmarks.reading
"""

import argparse
import contextlib
import json
import math
import os
import platform
import shutil
import sqlite3
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.tracking import KEYS, serve
from credit.spec import RunSpec
from credit.tracking.marks import NOTE, PARENT, SPEC, SWEEP, member_tag
from credit.tracking.reader import connect
from credit.tracking.writer import Writer, finish, open_child, open_parent, open_store

LADDER, EPOCHS = 72, 100
BORROWED = 6
"""Children that a ladder uses, but that are nested under the one before it."""
STARTED = 1_700_000_000_000  # milliseconds
DATASET = {"name": "cifar10", "digest": "0" * 36, "source": "synthetic"}
OWNERS = {
    "runs": "run_uuid",
    "params": "run_uuid",
    "tags": "run_uuid",
    "latest_metrics": "run_uuid",
    "inputs": "destination_id",
}
"""Tables that hold a run, and their column with its id."""


class Pattern:
    """The rows of one run, as the product wrote them, to be copied under other ids."""

    def __init__(self, database: sqlite3.Connection, run_id: str) -> None:
        self.run_id = run_id
        self.rows = {
            table: [dict(row) for row in database.execute(_where("SELECT *", table), [run_id])]
            for table in OWNERS
        }

    def copy(
        self, database: sqlite3.Connection, name: str, start: int, values: dict[str, str]
    ) -> str:
        """Insert a run like this one but for its name, start and these parameters and tags."""
        run_id = uuid.uuid4().hex
        values = {"mlflow.runName": name, **values}
        for table, rows in self.rows.items():
            for row in rows:
                new = {**row, OWNERS[table]: run_id}
                if table == "runs":
                    new |= {"name": name, "start_time": start, "end_time": start + 1}
                    new["artifact_uri"] = row["artifact_uri"].replace(self.run_id, run_id)
                elif table == "inputs":
                    new["input_uuid"] = uuid.uuid4().hex
                elif table in ("params", "tags"):
                    new["value"] = values.get(row["key"], row["value"])
                elif table == "latest_metrics":
                    new |= {"step": EPOCHS, "value": _value(run_id, row["key"], EPOCHS)}
                _insert(database, table, new)
        return run_id


def build(folder: Path, runs: int, parents: int) -> None:
    """Make the store `folder`/mlflow.db."""
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder / 'mlflow.db'}"
    parent_id, child_id = _written(folder)
    with contextlib.closing(sqlite3.connect(folder / "mlflow.db")) as database:
        database.row_factory = sqlite3.Row
        database.execute("PRAGMA cache_size = -1000000")  # KiB; ids are random, and so are pages
        parent, child = Pattern(database, parent_id), Pattern(database, child_id)
        for run_id in (parent_id, child_id):
            for table in OWNERS:
                database.execute(_where("DELETE", table), [run_id])
        database.execute("DELETE FROM metrics")
        edges = [(runs - LADDER + BORROWED) * i // (parents - 1) for i in range(parents)]
        own: list[str] = []
        borrowed: list[str] = []
        for number, (first, last) in enumerate(zip(edges, [*edges[1:], runs], strict=True)):
            borrowed = own[:BORROWED]
            above = parent.copy(database, "ladder", STARTED + first, {SWEEP: f"{number:016x}"})
            own = []
            for index in range(first, last):
                spec = RunSpec(rule="dfa", k=index % 5, seed=index // 5, device="cpu")
                values = {PARENT: above, SPEC: spec.spec_hash, NOTE: spec.name}
                values |= spec.to_params()
                own.append(child.copy(database, spec.name, STARTED + index, values))
            for run_id in borrowed + own:
                for key, value in member_tag(above).items():
                    _insert(database, "tags", {"key": key, "value": value, "run_uuid": run_id})
        for run_id in borrowed + own:
            _fill(database, run_id)
        database.commit()


def _written(folder: Path) -> tuple[str, str]:
    """One parent and one child by the product's own writer, in a new store."""
    store = open_store()
    parent_id = open_parent(store, "ladder", "ladder", RunSpec().to_params(), "0" * 16, "synthetic")
    child_id = open_child(store, parent_id, RunSpec(), None, DATASET)
    with Writer(store, folder / "journal") as writer:
        writer.log(child_id, EPOCHS, dict.fromkeys(KEYS, 1.0))
        writer.finish(child_id)
    finish(store, parent_id)
    return parent_id, child_id


def _fill(database: sqlite3.Connection, run_id: str) -> None:
    rows = [
        (key, _value(run_id, key, step), STARTED + step, run_id, step, 0)
        for key in KEYS
        for step in range(1, EPOCHS + 1)
    ]
    columns = "key, value, timestamp, run_uuid, step, is_nan"
    database.executemany(f"INSERT INTO metrics ({columns}) VALUES (?, ?, ?, ?, ?, ?)", rows)


def _value(run_id: str, key: str, step: int) -> float:
    return 1.0 if key == "valid/reference" else math.sin(step + int(run_id[:6], 16) + len(key))


def _where(what: str, table: str) -> str:
    return f"{what} FROM {table} WHERE {OWNERS[table]} = ?"


def _insert(database: sqlite3.Connection, table: str, row: dict[str, Any]) -> None:
    marks = ", ".join("?" * len(row))
    database.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", [*row.values()])


def read_ladder() -> list[pd.DataFrame]:
    """The runs of the newest ladder."""
    reader = connect()
    return [reader.runs(parent=reader.newest("ladder"))]


def read_history() -> list[pd.DataFrame]:
    """The runs of the newest ladder and all their values."""
    [runs] = read_ladder()
    return [runs, connect().history(runs["run_id"])]


def read_all() -> list[pd.DataFrame]:
    """All runs of the store."""
    return [connect().runs()]


READS = {"history": read_history, "ladder": read_ladder, "all": read_all}


def timed(
    read: Callable[[], list[pd.DataFrame]], repeats: int
) -> tuple[list[float], list[pd.DataFrame]]:
    """Seconds of each repeat, and what the last one read."""
    seconds, frames = [], []
    for _ in range(repeats):
        started = time.perf_counter()
        frames = read()
        seconds.append(round(time.perf_counter() - started, 3))
    return seconds, frames


def behind_a_server(folder: Path) -> Path:
    """A copy of the database whose artifacts are the server's, as in a store it made itself."""
    path = folder / "server.db"
    source, copy = sqlite3.connect(folder / "mlflow.db"), sqlite3.connect(path)
    with contextlib.closing(source), contextlib.closing(copy):
        source.backup(copy)
        [[root]] = copy.execute("SELECT artifact_location FROM experiments WHERE name = 'credit'")
        query = "UPDATE runs SET artifact_uri = replace(artifact_uri, ?, 'mlflow-artifacts:')"
        copy.execute(query, [root])
        copy.commit()
    return path


def main() -> None:
    """Build the store, read it both ways, print what it took."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--parents", type=int, default=150)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="2,000 runs below 30 parents, once")
    args = parser.parse_args()
    if args.quick:
        args.runs, args.parents, args.repeats = 2000, 30, 1
    folder = Path(tempfile.mkdtemp(prefix="credit-reading-"))
    try:
        started = time.perf_counter()
        build(folder, args.runs, args.parents)
        print(f"built in {time.perf_counter() - started:.1f} s", file=sys.stderr)
        sqlite = {name: timed(read, args.repeats) for name, read in READS.items()}
        with serve(folder, f"sqlite:///{behind_a_server(folder)}") as (uri, _):
            os.environ["MLFLOW_TRACKING_URI"] = uri
            http = {name: timed(READS[name], args.repeats) for name in ("history", "ladder")}
    finally:
        shutil.rmtree(folder)
    same = {
        name: all(a.equals(b) for a, b in zip(sqlite[name][1], http[name][1], strict=True))
        for name in http
    }
    both = {"sqlite": sqlite, "http": http}
    result = {
        "command": " ".join(["python -m benchmarks.reading", *sys.argv[1:]]),
        "date": date.today().isoformat(),
        "hardware": f"{os.cpu_count()} cores, {platform.machine()}",
        "mlflow": version("mlflow"),
        "runs": args.runs,
        "rows": {name: [len(frame) for frame in frames] for name, (_, frames) in sqlite.items()},
        "seconds_median": {
            way: {name: statistics.median(seconds) for name, (seconds, _) in reads.items()}
            for way, reads in both.items()
        },
        "both_ways_equal": same,
        "seconds": {
            way: {name: seconds for name, (seconds, _) in reads.items()}
            for way, reads in both.items()
        },
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
