"""A store that is exported, its files damaged, and what an import makes of them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from credit.spec import RunSpec
from credit.tracking.portable import import_into
from credit.tracking.reader import Reader
from credit.tracking.writer import Store, log_table, log_text
from tests.tracking import stores
from tests.traps import refused

LAYERS = [
    pd.DataFrame({"layer": [0, 1], "status": ["ok", "ok"], "alignment_mean": [1 / 3, -2e-17]}),
    pd.DataFrame({"layer": [0, 1], "status": ["ok", "at_floor"], "copy": [float("nan"), 0.1]}),
    pd.DataFrame({"layer": [0], "status": ["ok"], "copy": ["ok"]}),  # words for numbers
]


def fill(store: Store, folder: Path) -> tuple[str, list[str]]:
    """As that of `stores`, with tables, texts and weights."""
    parent, ids = stores.fill(store, folder / "journal")
    for run_id, table in zip(ids, LAYERS, strict=True):
        log_table(store, run_id, table, "diagnostics/layers")
    log_text(store, ids[0], '{"rule": "dfa"}', "checkpoint/spec.json")
    log_table(store, parent, pd.DataFrame({"rule": ["dfa"]}), "ladder")
    weights = folder / "weights.safetensors"
    weights.write_bytes(b"\0" * 100)
    store.client.log_artifact(ids[0], str(weights), "checkpoint")
    log_text(store, parent, "x" * 200_001, "large.md")
    return parent, ids


def by_name(reader: Reader) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Runs, and history with names in place of ids."""
    runs = reader.runs().sort_values("name", ignore_index=True)
    history = reader.history(runs["run_id"])
    names = dict(zip(runs["run_id"], runs["name"], strict=True))
    history["run_id"] = [names[run_id] for run_id in history["run_id"]]
    return runs, history.sort_values(["run_id", "key", "step"], ignore_index=True)


def damage(folder: Path, change) -> None:
    path = folder / "runs.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def with_spec(record: dict, **changes) -> None:
    spec = RunSpec.from_mapping({**record["params"], **changes})
    record.update(params=spec.to_params())
    record["tags"]["credit.spec_hash"] = spec.spec_hash


CHILD = 1
"""The place of a child run in `runs.json`."""


def not_imported(store: Store, folder: Path, *words: str) -> str:
    """The one line with which the import of this folder ends."""
    return refused(lambda: import_into(store, folder), *words)


@contextmanager
def changed(path: Path, content: bytes) -> Iterator[None]:
    """The file with another content, or a new one; afterwards as it was."""
    before = path.read_bytes() if path.exists() else None
    path.write_bytes(content)
    yield
    path.unlink() if before is None else path.write_bytes(before)
