"""Metric histories of runs in SQLite stores, read from the database itself; for `slurm.sh`.

- `epochs STORE`: the fewest epochs that a run which trains has recorded;
- `gaps STORE`: where each run paused longest;
- `saved FOLDER`: how far the checkpoints below a folder are;
- `same STORE ARTIFACTS STORE ARTIFACTS`: whether two stores hold the same.

    python -m benchmarks.clusters.histories gaps mlflow.db
"""

import hashlib
import itertools
import sqlite3
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from safetensors.numpy import load_file

Row = tuple[str, str, int, float]
"""Spec hash, metric, step, value."""


def runs(store: str) -> dict[str, tuple[str, str, str]]:
    """Spec hash -> run id, name and status."""
    query = """SELECT value, run_uuid, name, status FROM runs NATURAL JOIN tags
        WHERE key = 'credit.spec_hash' AND lifecycle_stage = 'active' ORDER BY name"""
    with sqlite3.connect(f"file:{store}?mode=ro", uri=True, timeout=60) as database:
        found = database.execute(query).fetchall()
    assert len({row[0] for row in found}) == len(found), "two runs of one spec hash"
    return {spec: (run_id, name, status) for spec, run_id, name, status in found}


def values(store: str, keys: str = "%") -> Iterator[Row]:
    """All values of all runs; not times, in which no two runs agree."""
    query = """SELECT tags.value, metrics.key, step, metrics.value FROM metrics
        JOIN tags ON tags.run_uuid = metrics.run_uuid AND tags.key = 'credit.spec_hash'
        WHERE metrics.key LIKE ? AND metrics.key NOT LIKE 'time/%'"""
    with sqlite3.connect(f"file:{store}?mode=ro", uri=True, timeout=60) as database:
        yield from database.execute(query, [keys])


def epochs(store: str) -> None:
    """Print the fewest epochs that a run which trains has recorded; -1 where none trains."""
    training = {spec: 0 for spec, (_, _, status) in runs(store).items() if status == "RUNNING"}
    for spec, _, step, _ in values(store, "loss/train"):
        if spec in training:
            training[spec] = max(training[spec], step)
    print(min(training.values(), default=-1))


def gaps(store: str) -> None:
    """Print the longest time between two epochs of each run."""
    query = """SELECT timestamp / 1000.0, step FROM metrics
        WHERE run_uuid = ? AND key = 'loss/train' ORDER BY step"""
    with sqlite3.connect(f"file:{store}?mode=ro", uri=True, timeout=60) as database:
        for spec, (run_id, name, status) in runs(store).items():
            logged = database.execute(query, [run_id]).fetchall()
            pairs = list(itertools.pairwise(logged))
            (before, last), (after, first) = max(pairs, key=lambda pair: pair[1][0] - pair[0][0])
            times = [time.strftime("%T", time.localtime(t)) for t in (before, after)]
            print(
                f"{name} ({spec[:8]}) {status}: {len(logged)} epochs from 1 to {logged[-1][1]}, "
                f"the first {last} in {before - logged[0][0]:.0f} s; longest pause "
                f"{after - before:.1f} s, epoch {last} at {times[0]}, epoch {first} at {times[1]}"
            )


def saved(folder: str) -> None:
    """Print the epochs and runs of each checkpoint."""
    from credit.training import checkpoint  # here: it loads torch

    for path in sorted(Path(folder).glob("**/stacks/*.safetensors")):
        header = checkpoint.read_header(path)
        seeds = sorted({spec.seed for spec in header.specs})
        print(
            f"{path.name}: {len(header.specs)} runs of seed {seeds} after {header.epoch} epochs "
            f"and {header.steps} steps of the next"
        )


def weights(store: str, artifacts: str) -> dict[str, str]:
    """Spec hash -> digest of the final weights; not of the file, whose metadata are in no order."""
    files = {path.parts[-4]: path for path in Path(artifacts).glob("**/weights.safetensors")}
    return {
        spec: hashlib.sha256(
            b"".join(tensor.tobytes() for _, tensor in sorted(load_file(files[run_id]).items()))
        ).hexdigest()
        for spec, (run_id, _, _) in runs(store).items()
    }


def same(store: str, artifacts: str, other: str, others: str) -> int:
    """Print in how far two stores hold the same runs; 1 if they do not."""
    first, second = list(values(store)), list(values(other))
    places = [{row[:3] for row in rows} for rows in (first, second)]
    ended = {name: status for _, name, status in [*runs(store).values(), *runs(other).values()]}
    wrong = {
        "runs of one store only": len(runs(store).keys() ^ runs(other).keys()),
        "runs not FINISHED": sum(status != "FINISHED" for status in ended.values()),
        "values twice": len(first) - len(places[0]) + len(second) - len(places[1]),
        "values of one store only": len(places[0] ^ places[1]),
        "values that differ": len(set(first) ^ set(second)),
        "final weights that differ": len(
            set(weights(store, artifacts).items()) ^ set(weights(other, others).items())
        ),
    }
    steps = {row[2] for row in first}
    print(
        f"{len(runs(store))} runs, {len(first)} and {len(second)} values of "
        f"{len({row[1] for row in first})} metrics at steps {min(steps)} to {max(steps)}; "
        + ", ".join(f"{name}: {count}" for name, count in wrong.items())
    )
    return int(any(wrong.values()))


if __name__ == "__main__":
    command = {f.__name__: f for f in (epochs, gaps, saved, same)}[sys.argv[1]]
    sys.exit(command(*sys.argv[2:]))
