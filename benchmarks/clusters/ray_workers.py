"""Stacks on Ray: their time beside that of local workers, and what random kills change.

Two Ray nodes of one CPU each train 12 stacks, and so do two workers of this machine. Then nodes are
killed at random moments, and every metric history and final weight is compared with that of a sweep
in one process.

    CREDIT_DATA=... python -m benchmarks.clusters.ray_workers --kills 20
"""

import argparse
import contextlib
import json
import os
import random
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ray
import torch
from ray.cluster_utils import Cluster

from benchmarks.common import hardware
from benchmarks.tracking import serve
from credit.spec import RunSpec
from credit.sweep import sweep, tracked_stack
from credit.sweep.networks import Networks
from credit.sweep.options import Launch
from credit.tracking.reader import connect
from credit.tracking.store import open_store

STACKS = 12
STORE: dict[str, Any] = {"object_store_memory": 80_000_000}
QUICK = {"RAY_health_check_period_ms": "1000", "RAY_health_check_failure_threshold": "3"}
"""Ray's own spelling: it looks every second whether a node is there."""


class Saving(Networks):
    """Networks whose stacks are saved after every step."""

    def tracked(self, *args: Any) -> Any:
        tracked_stack.CHECKPOINT_SECONDS = 0.0
        return super().tracked(*args)


def grid(epochs: int) -> list[RunSpec]:
    """Return 12 stacks of two runs each."""
    common: dict[str, Any] = {"dataset": "digits", "width": 32, "depth": 2, "k": 2, "device": "cpu"}
    length: dict[str, Any] = {"epochs": epochs, "measure_every": epochs, "batch_size": 32}
    rules = ("bp", "dfa")
    pairs = [(rule, seed) for seed in range(STACKS) for rule in rules]
    return [RunSpec(rule=rule, seed=seed, **common, **length) for rule, seed in pairs]


@contextlib.contextmanager
def fresh(folder: Path, name: str) -> Iterator[None]:
    """Let runs go to an experiment and a state folder of their own."""
    os.environ["MLFLOW_EXPERIMENT_NAME"] = name
    os.environ["CREDIT_STATE"] = str(folder / name)
    open_store()
    yield


def train(launch: Launch, epochs: int, training: type[Networks]) -> tuple[float, sweep.Outcome]:
    """Return the seconds that a sweep took, and its outcome."""
    plan = sweep.Sweep("ladder", "stacks", grid(epochs))
    began = time.perf_counter()
    outcome = sweep.run(plan, open_store(), training, launch)
    return time.perf_counter() - began, outcome


def left(outcome: sweep.Outcome) -> tuple[dict, dict]:
    """Return every metric value of a sweep's runs, and their final weights."""
    from safetensors.torch import load_file

    reader = connect()
    names = {run_id: key for key, run_id in outcome.run_ids.items()}
    history = reader.history(names)
    rows = history.loc[~history["key"].str.startswith("time/")]
    values: dict = {}
    for row in rows.itertuples():
        values.setdefault((names[row.run_id], row.key, row.step), []).append(row.value)
    file = "checkpoint/weights.safetensors"
    weights = {key: load_file(reader.artifact(i, file)) for key, i in outcome.run_ids.items()}
    return values, weights


def kill_at_random(cluster: Cluster, kills: int, done: list[str], stop: threading.Event) -> None:
    """Kill a node every few seconds, without grace; a new one takes its place."""
    source = random.Random(0)
    nodes = [cluster.add_node(num_cpus=1, **STORE) for _ in range(2)]
    while len(done) < kills and not stop.wait(source.uniform(2, 8)):
        node = nodes.pop(source.randrange(len(nodes)))
        cluster.remove_node(node, allow_graceful=False)
        nodes.append(cluster.add_node(num_cpus=1, **STORE))
        done.append("node")


def compared(one: tuple[dict, dict], other: tuple[dict, dict]) -> dict[str, int]:
    """Return how many values are there twice, missing or different, and weights that differ."""
    values, weights = one
    others, theirs = other
    return {
        "values": len(values),
        "twice": sum(len(found) > 1 for found in others.values()),
        "missing": len(values.keys() ^ others.keys()),
        "different": sum(v[0] != others[k][0] for k, v in values.items() if k in others),
        "weights_different": sum(
            not torch.equal(tensor, theirs[key][name])
            for key, tensors in weights.items()
            for name, tensor in tensors.items()
        ),
    }


def measure(folder: Path, kills: int, epochs: int) -> dict[str, Any]:
    """Return all figures."""
    os.environ.update(QUICK)
    on_ray = Launch(launcher="ray", worker_cpus=1)
    run: Callable = train
    with fresh(folder, "local"):
        local, _ = run(Launch(workers=2, worker_cpus=1), epochs, Networks)
    head = {"num_cpus": 0, "include_dashboard": False, **STORE}
    # without shutdown hooks, which only the main thread may set
    cluster = Cluster(initialize_head=True, head_node_args=head, shutdown_at_exit=False)
    os.environ["RAY_ADDRESS"] = str(cluster.address)
    # to the head's node, the only one that stays; what dies is not told on stdout
    ray.init(address=cluster.address, log_to_driver=False)
    nodes = [cluster.add_node(num_cpus=1, **STORE) for _ in range(2)]
    with fresh(folder, "ray"):
        by_ray, _ = run(on_ray, epochs, Networks)
    for node in nodes:
        cluster.remove_node(node)
    with fresh(folder, "undisturbed"):
        torch.set_num_threads(1)
        undisturbed = left(run(Launch(), epochs, Networks)[1])
    done: list[str] = []
    stop = threading.Event()
    killer = threading.Thread(target=kill_at_random, args=(cluster, kills, done, stop))
    killer.start()
    with fresh(folder, "killed"):
        took, outcome = run(on_ray, epochs, Saving)
        stop.set()
        killer.join()
        differences = compared(undisturbed, left(outcome))
    ray.shutdown()
    cluster.shutdown()
    return {
        "stacks": STACKS,
        "epochs": epochs,
        "seconds_local": round(local, 1),
        "seconds_ray": round(by_ray, 1),
        "ratio": round(by_ray / local, 3),
        "kills": len(done),
        "seconds_with_kills": round(took, 1),
        "differences": differences,
    }


def main() -> None:
    """Measure, and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=30)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with serve(folder, f"sqlite:///{folder / 'server.db'}") as (uri, _):
            os.environ["MLFLOW_TRACKING_URI"] = uri
            load = os.getloadavg()[0]
            figures = measure(folder, given.kills, given.epochs)
    print(json.dumps({"hardware": hardware("cpu"), "load": round(load, 1), **figures}))


if __name__ == "__main__":
    main()
