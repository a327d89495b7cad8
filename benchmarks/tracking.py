"""What tracking costs training: a stack of 45 runs that logs 25 series after every epoch.

On a SQLite file and on a real `mlflow server` (one worker, SQLite behind it, this machine):

- an epoch of 100 s, as on two CPU cores: each epoch is sent before the next one ends, so epochs are
  logged one after the other, as soon as the one before has arrived;
- an epoch of 1.5 s, as on a GPU, in real time: how far sending falls behind, and what it costs;
- calls of 1000 values, the most that MLflow takes: what a value costs at least;
- a server that is stopped (SIGSTOP): how long training waits then.

Blocked is the wall time of `Writer.log` in the training thread. CPU is that of all other threads of
this process, and of the server. The share counts blocked time and all CPU, as if every second of it
were taken from training, which is more than the truth where a core is idle.

`--startup` measures seconds from the start of a process to the first training step of 72 runs.

    python -m benchmarks.tracking
    CREDIT_DATA=... python -m benchmarks.tracking --startup
"""

import argparse
import contextlib
import itertools
import json
import math
import os
import platform
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
from mlflow.entities import Metric

from credit.errors import CreditError
from credit.spec import RunSpec
from credit.tracking.sending import BATCH
from credit.tracking.store import Store, reach
from credit.tracking.writer import Writer, open_child, open_parent, open_store

RUNS = 45
KEYS = (
    "accuracy/test",
    "accuracy/train",
    "loss/train",
    "alignment/deep",
    "valid/reference",
    *(
        f"{name}/h{layer:02d}"
        for name, layer in itertools.product(("alignment", "rho", "nudge", "hidden_norm"), range(5))
    ),
)
"""25 series, named as training names them."""
ROOT = Path(__file__).resolve().parents[1]
CPU_EPOCH_S, GPU_EPOCH_S = 100.0, 1.5
PATIENCE_S = 300

LADDER = """
import os, runpy, sys
from credit.training.stack import Stack
Stack.step = lambda *_, **__: os._exit(77)
runpy.run_module("entrypoints.ladder", run_name="__main__")
"""
"""The ladder up to its first step."""
GRID = "--rules bp,oracle,fa,dfa --depth 17 --ks all --seeds 42 --train_samples 128 --epochs 1"
"""72 runs."""


@contextlib.contextmanager
def serve(folder: Path, backend: str) -> Iterator[tuple[str, int]]:
    """A real `mlflow server` over the store `backend`: its URI and its process group."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--workers", "1"]
    command += ["--port", str(port), "--backend-store-uri", backend]
    command += ["--artifacts-destination", str(folder / "mlartifacts")]
    env = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "_MLFLOW_"))}
    env |= {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    log = folder / "server.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            command, env=env, cwd=folder, stdout=output, stderr=output, start_new_session=True
        )
    uri = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + PATIENCE_S
    try:
        while not _answers(uri):
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"no mlflow server: {log.read_text()}")
            time.sleep(0.5)
        yield uri, server.pid
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(PATIENCE_S)


def _answers(uri: str) -> bool:
    try:
        reach(uri)
    except CreditError:
        return False
    return True


class Stack:
    """Runs that log epochs and train nothing."""

    def __init__(self, store: Store, folder: Path, server: int | None) -> None:
        parent = open_parent(store, "tracking", "benchmark", {}, "0" * 16)
        self.run_ids = [open_child(store, parent, RunSpec(seed=i)) for i in range(RUNS)]
        self.store, self.folder, self.server = store, folder, server
        self.writer = Writer(store, folder)
        self.epoch = 0

    def log(self) -> float:
        """Log an epoch; milliseconds that the training thread was blocked."""
        self.epoch += 1
        values = {key: math.sin(self.epoch + i) for i, key in enumerate(KEYS)}
        started = time.perf_counter()
        for run_id in self.run_ids:
            self.writer.log(run_id, self.epoch, values)
        return 1000 * (time.perf_counter() - started)

    def rest(self) -> None:
        """A writer as it is long after it last sent something."""
        self.writer.close(PATIENCE_S)
        self.writer = Writer(self.store, self.folder)

    def drain(self) -> float:
        """Wait until all has arrived by the writer's own schedule; seconds that took."""
        started = time.perf_counter()
        while self.writer.unsent:
            time.sleep(0.02)
        return time.perf_counter() - started

    def cpu(self) -> tuple[float, float]:
        """Milliseconds of CPU so far: of this process without this thread, of the server."""
        spent = 0.0
        if self.server:
            leader = psutil.Process(self.server)
            times = [process.cpu_times() for process in [leader, *leader.children(recursive=True)]]
            spent = sum(t.user + t.system for t in times)
        return 1000 * (time.process_time() - time.thread_time()), 1000 * spent


def cpu_epochs(stack: Stack, epochs: int) -> dict[str, float]:
    """Costs per epoch where every epoch has arrived before the next one ends."""
    blocked, client, server, lag = [], [], [], []
    for _ in range(epochs):
        stack.rest()
        before = stack.cpu()
        blocked.append(stack.log())
        lag.append(stack.drain())
        after = stack.cpu()
        client.append(after[0] - before[0])
        server.append(after[1] - before[1])
    return _costs(blocked, statistics.mean(client), statistics.mean(server), CPU_EPOCH_S) | {
        "seconds_until_visible_max": max(lag)
    }


def gpu_epochs(stack: Stack, epochs: int) -> dict[str, float]:
    """Costs per epoch, and how far sending falls behind, with epochs in real time."""
    blocked, behind = [], []
    before, started = stack.cpu(), time.perf_counter()
    for number in range(1, epochs + 1):
        blocked.append(stack.log())
        time.sleep(max(0.0, started + number * GPU_EPOCH_S - time.perf_counter()))
        behind.append(GPU_EPOCH_S * stack.writer.unsent / (RUNS * len(KEYS)))
    drained = time.perf_counter()
    stack.writer.flush(PATIENCE_S)
    drained = time.perf_counter() - drained
    client, server = ((b - a) / epochs for a, b in zip(before, stack.cpu(), strict=True))
    costs = _costs(blocked, client, server, GPU_EPOCH_S)
    return costs | {"seconds_behind_max": max(behind), "seconds_to_send_the_rest": drained}


def full_calls(stack: Stack, calls: int = 9) -> float:
    """Microseconds of CPU, here and in the server, of a value in calls of `BATCH` values."""
    spent = []
    for call in range(calls):
        steps = range(BATCH // len(KEYS) * call, BATCH // len(KEYS) * (call + 1))
        values = [Metric(f"full/{key}", math.sin(step), 0, step) for step in steps for key in KEYS]
        before = sum(stack.cpu()) + 1000 * time.thread_time()
        stack.store.client.log_batch(stack.run_ids[0], values)
        spent.append(sum(stack.cpu()) + 1000 * time.thread_time() - before)
    return 1000 * statistics.median(spent) / BATCH


def stopped(stack: Stack, epochs: int = 10) -> float:
    """Longest that training waited for the log of an epoch while the server was stopped, in ms."""
    assert stack.server
    os.killpg(stack.server, signal.SIGSTOP)
    try:
        waited = []
        for _ in range(epochs):
            waited.append(stack.log())
            time.sleep(GPU_EPOCH_S)
        return max(waited)
    finally:
        os.killpg(stack.server, signal.SIGCONT)


def _costs(blocked: list[float], client: float, server: float, epoch_s: float) -> dict[str, float]:
    median = statistics.median(blocked)
    return {
        "blocked_ms_median": median,
        "blocked_ms_max": max(blocked),
        "client_cpu_ms": client,
        "server_cpu_ms": server,
        "share_percent_of_this_process": (median + client) / epoch_s / 10,
        "share_percent": (median + client + server) / epoch_s / 10,
    }


def overhead(folder: Path, epochs: int, gpu: int) -> dict[str, dict]:
    """All figures on both stores."""

    def measure(uri: str, name: str, server: int | None) -> dict:
        os.environ["MLFLOW_TRACKING_URI"] = uri
        stack = Stack(open_store(), folder / name, server)
        figures: dict = {f"epoch of {CPU_EPOCH_S:g} s": cpu_epochs(stack, epochs)}
        figures[f"epoch of {GPU_EPOCH_S:g} s"] = gpu_epochs(stack, gpu)
        figures["cpu_us_per_value_in_full_calls"] = full_calls(stack)
        if server:
            figures["blocked_ms_max_server_stopped"] = stopped(stack)
        stack.writer.close(PATIENCE_S)
        return figures

    sqlite = measure(f"sqlite:///{folder / 'mlflow.db'}", "sqlite", None)
    with serve(folder, f"sqlite:///{folder / 'server.db'}") as (uri, server):
        return {"sqlite": sqlite, "http": measure(uri, "http", server)}


def startup(folder: Path, repeats: int) -> dict[str, dict]:
    """Seconds from the start of a process to the first step of 72 runs, fresh and warm stores."""

    def start(uri: str, width: int) -> float:
        command = [sys.executable, "-c", LADDER, *GRID.split(), "--width", str(width)]
        env = os.environ | {"MLFLOW_TRACKING_URI": uri, "CREDIT_STATE": str(folder / "state")}
        started = time.perf_counter()
        done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True)
        if done.returncode != 77:
            raise RuntimeError(done.stderr)
        return time.perf_counter() - started

    def series(uris: list[str]) -> dict:
        seconds = [start(uri, 8 + i) for i, uri in enumerate(uris)]
        return {"median": statistics.median(seconds), "seconds": seconds}

    fresh = [f"sqlite:///{folder / f'fresh{i}.db'}" for i in range(repeats)]
    figures = {"sqlite, fresh": series(fresh), "sqlite, warm": series(fresh[:1] * repeats)}
    with serve(folder, f"sqlite:///{folder / 'server.db'}") as (uri, _):
        figures["http, warm"] = series([uri] * repeats)
    return figures


def rounded(value: Any) -> Any:
    """Figures with three significant digits, and dictionaries of them."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    return [*map(rounded, value)] if isinstance(value, list) else float(f"{value:.3g}")


def main() -> None:
    """Measure one of the two and print JSON."""
    parser = argparse.ArgumentParser(description="What tracking costs training.")
    parser.add_argument("--epochs", type=int, default=4, help="of 100 s; logged without waiting")
    parser.add_argument("--gpu-epochs", type=int, default=40, help="of 1.5 s; in real time")
    parser.add_argument("--startup", action="store_true", help="measure that instead")
    parser.add_argument("--repeats", type=int, default=3, help="of each start")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="credit-tracking-", ignore_cleanup_errors=True) as path:
        if args.startup:
            figures = {"seconds_to_first_step_of_72_runs": startup(Path(path), args.repeats)}
        else:
            figures = overhead(Path(path), args.epochs, args.gpu_epochs)
    result = {
        "command": " ".join(["python -m benchmarks.tracking", *sys.argv[1:]]),
        "date": date.today().isoformat(),
        "hardware": f"{os.cpu_count()} cores, {platform.machine()}",
        "mlflow": version("mlflow"),
        **rounded(figures),
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
