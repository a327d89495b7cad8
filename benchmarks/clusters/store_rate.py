"""Metric values that a tracking store accepts from many workers at once, and where that ends.

SQLite; `mlflow server` over SQLite; `mlflow server` over PostgreSQL (Debian's package; fsync on).
Each server has one worker process. 1, 2, 4 and 8 processes write, each with a `Writer` as workers
of a sweep have it: 15 runs of 25 values an epoch, one request a run. Each logs its next epochs as
soon as the ones before are accepted, so that the store is never idle; `burst` epochs go into a
request, as where epochs are shorter than the 5 s between two rounds of sending.

Writers, server and database share this machine. The store is the limit at so many workers as log
in an epoch's time what it accepts at its best: `workers = rate x seconds an epoch / values an
epoch`. Prints JSON; `--figure` draws it.

    python -m benchmarks.clusters.store_rate --figure benchmarks/results/store_rate.png
"""

import argparse
import contextlib
import json
import math
import multiprocessing
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.clusters.store_rate_figure import draw
from benchmarks.common import hardware
from benchmarks.tracking import KEYS, serve
from credit.tracking.writer import Writer, open_store

RUNS = 15
WRITERS = (1, 2, 4, 8)
BURSTS = (1, 10)
"""Epochs in a request."""
EPOCHS = (0.1, 1.0, 5.0, 15.0, 60.0, 300.0)
"""Seconds an epoch for which the limit is told."""
PATIENCE_S = 300.0
STORES = ("SQLite", "HTTP, SQLite", "HTTP, PostgreSQL")


@contextlib.contextmanager
def postgresql() -> Iterator[str]:
    """A PostgreSQL server in a temporary folder, as an SQLAlchemy URI."""
    programs = max(Path("/usr/lib/postgresql").glob("*/bin/initdb")).parent
    user = "postgres" if os.geteuid() == 0 else None  # it refuses to run as root
    with socket.socket() as free, tempfile.TemporaryDirectory(prefix="credit-pg-") as name:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        if user:
            shutil.chown(name, user)

        def call(program: str, *words: str) -> None:
            command = [str(programs / program), "-D", f"{name}/data", *words]
            subprocess.run(command, user=user, cwd=name, stdout=subprocess.DEVNULL, check=True)

        call("initdb", "-U", "credit", "--auth=trust")
        call("pg_ctl", "-l", f"{name}/log", "-w", "-o", f"-p {port} -k {name}", "start")
        try:
            yield f"postgresql+psycopg2://credit@127.0.0.1:{port}/postgres"
        finally:
            call("pg_ctl", "-m", "fast", "stop")


def write(
    uri: str, run_ids: list[str], step: int, folder: Path, seconds: float, ready: Any, answers: Any
) -> None:
    """Write epochs after `step` for so many seconds; answer how many a second, by burst."""
    os.environ["MLFLOW_TRACKING_URI"] = uri
    with Writer(open_store(), folder) as writer:

        def send(epochs: int) -> None:
            nonlocal step
            for _ in range(epochs):
                step += 1
                values = {key: math.sin(step + i) for i, key in enumerate(KEYS)}
                for run_id in run_ids:
                    writer.log(run_id, step, values)
            if writer.flush(PATIENCE_S):
                raise RuntimeError(f"not accepted: {writer.refused}")

        send(1)  # asks what the store has
        rates = {}
        for burst in BURSTS:
            ready.wait(PATIENCE_S)
            started, done = time.perf_counter(), 0
            while (took := time.perf_counter() - started) < seconds:
                send(burst)
                done += burst
            rates[burst] = done / took
    answers.put(rates)


def rates(uri: str, folder: Path, seconds: float) -> dict[str, list[dict[str, float]]]:
    """Measure a store with each number of writers."""
    os.environ["MLFLOW_TRACKING_URI"] = uri
    store = open_store()
    made = [store.client.create_run(store.experiment_id) for _ in range(RUNS * max(WRITERS))]
    ids = [run.info.run_id for run in made]
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["credit.tracking.writer"])
    found: dict[str, list[dict[str, float]]] = {str(burst): [] for burst in BURSTS}
    for count in WRITERS:
        ready, answers = context.Barrier(count), context.Queue()
        workers = []
        for number in range(count):
            own = ids[RUNS * number : RUNS * (number + 1)]
            first, where = 1_000_000 * count, folder / f"journal-{number}"
            given = (uri, own, first, where, seconds, ready, answers)
            workers.append(context.Process(target=write, args=given))
        for worker in workers:
            worker.start()
        each = [answers.get(timeout=PATIENCE_S) for _ in workers]
        for worker in workers:
            worker.join()
        for burst in BURSTS:
            epochs = sum(rate[burst] for rate in each)
            values = epochs * RUNS * len(KEYS)
            requests = epochs * RUNS / burst
            point = {"values_per_s": round(values), "requests_per_s": round(requests, 1)}
            found[str(burst)].append({"writers": count, **point})
            print(f"{count} writers, {burst} epochs a request: {values:.0f} /s", file=sys.stderr)
    return found


def limit(points: dict[str, list[dict[str, float]]], seconds: float) -> float:
    """Return the workers that log, at so many seconds an epoch, what the store accepts at best."""
    burst = str(max(b for b in BURSTS if b == 1 or b * seconds <= 5.0))  # sent every 5 s
    best = max(point["values_per_s"] for point in points[burst])
    return best * seconds / (RUNS * len(KEYS))


def main() -> None:
    """Measure all stores, print JSON and draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="of each point")
    parser.add_argument("--figure", type=Path)
    args = parser.parse_args()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="credit-rate-") as name, postgresql() as database:
        folders = [Path(name, store.replace(", ", "-")) for store in STORES]
        for folder in folders:
            folder.mkdir()
        plain, lite, post = folders
        stores = {"SQLite": rates(f"sqlite:///{plain / 'mlflow.db'}", plain, args.seconds)}
        with serve(lite, f"sqlite:///{lite / 'server.db'}") as (uri, _):
            stores["HTTP, SQLite"] = rates(uri, lite, args.seconds)
        with serve(post, database) as (uri, _):
            stores["HTTP, PostgreSQL"] = rates(uri, post, args.seconds)
    result = {
        "command": " ".join(["python -m benchmarks.clusters.store_rate", *sys.argv[1:]]),
        "date": date.today().isoformat(),
        "hardware": hardware("cpu"),
        "load": f"{load:.1f} to {os.getloadavg()[0]:.1f}",
        "mlflow": version("mlflow"),
        "runs_of_a_writer": RUNS,
        "values_of_an_epoch": len(KEYS),
        "stores": stores,
        "workers_at_the_limit": {
            store: {f"{s:g}": round(limit(points, s), 1) for s in EPOCHS}
            for store, points in stores.items()
        },
    }
    print(json.dumps(result, indent=2))
    if args.figure:
        draw(result).savefig(args.figure)


if __name__ == "__main__":
    main()
