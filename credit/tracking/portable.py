"""Runs as files: exported from one tracking store, imported into any other.

A folder with `runs.json` (names, parameters, tags, times, status, dataset), `metrics.parquet`
(every value with its step and timestamp) and `artifacts/<run id>/` (small text files). Reading it
executes nothing: JSON, Parquet and text only.
"""

import json
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from mlflow.entities import FileInfo, Metric, Param, Run

from credit.errors import CreditError
from credit.spec import SCHEMA, RunSpec
from credit.tracking.artifacts import log_artifact_file, log_dataset
from credit.tracking.history import COLUMNS
from credit.tracking.marks import (
    CHILDREN_FILE,
    COMMIT,
    CONTINUED_BY,
    DIRTY,
    ENTRY_POINT,
    IMPORTED_FROM,
    KIND,
    NOTE,
    OWNER,
    PARENT,
    REASON,
    SCHEMA_TAG,
    SOURCE,
    SPEC,
    SWEEP,
    search,
)
from credit.tracking.reader import Reader, read_children
from credit.tracking.runs import log_children
from credit.tracking.store import Store

_RUNS, _METRICS, _ARTIFACTS = "runs.json", "metrics.parquet", "artifacts"
_TAGS = (
    SCHEMA_TAG,
    KIND,
    SWEEP,
    SPEC,
    REASON,
    CONTINUED_BY,
    NOTE,
    COMMIT,
    DIRTY,
    SOURCE,
    ENTRY_POINT,
)
"""What travels. Who ran it, on which host and under which path stays at home."""

_TEXT = (".csv", ".json", ".md")
_LARGEST_BYTES = 200_000
_ENDED = ("FINISHED", "FAILED", "KILLED")
_BATCH = 1000


class Imported(NamedTuple):
    """How many runs an import created, and how many the store already had."""

    created: int
    skipped: int


def export(reader: Reader, run_ids: Iterable[str], folder: Path | str) -> Path:
    """Write runs and their parents to `folder`; return it. An older export there is replaced.

    Raises:
        CreditError: a run does not exist, or `folder` holds something else.
    """
    folder = Path(folder)
    if folder.exists() and any(folder.iterdir()) and not (folder / _RUNS).is_file():
        raise CreditError(f"{folder} is not empty and not an export: name another folder")
    runs = {run_id: reader.run(run_id) for run_id in run_ids}
    for parent_id in {run.data.tags[PARENT] for run in runs.values() if PARENT in run.data.tags}:
        runs.setdefault(parent_id, reader.run(parent_id))
    names = {run_id: run.data.tags.get(IMPORTED_FROM, run_id) for run_id, run in runs.items()}
    shutil.rmtree(folder / _ARTIFACTS, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    metrics = reader.history(runs).dropna()
    metrics["run_id"] = [names[run_id] for run_id in metrics["run_id"]]
    metrics = metrics.sort_values(["run_id", "key", "step"], ignore_index=True)
    metrics.to_parquet(folder / _METRICS, compression="zstd", index=False)
    for run_id in runs:
        for file in _small_texts(reader, run_id):
            target = folder / _ARTIFACTS / names[run_id] / file.path
            target.parent.mkdir(parents=True, exist_ok=True)
            text = reader.artifact(run_id, file.path).read_text()
            for own, original in names.items():
                text = text.replace(own, original)  # ids in runs.json
            target.write_text(text)
    records = [_record(run, names) for run in runs.values()]
    records.sort(key=lambda record: (record["start"], record["run_id"]))
    document = {"schema": SCHEMA, "runs": records}
    (folder / _RUNS).write_text(json.dumps(document, indent=1, allow_nan=False) + "\n")
    return folder


def import_into(store: Store, folder: Path | str) -> Imported:
    """Recreate exported runs in the store's experiment; those it already has are skipped.

    Interrupted, it can simply be repeated. Imported finished runs count as finished in a sweep.

    Raises:
        CreditError: the folder is not a whole export, or one of another schema. Nothing is then
            created.
    """
    folder = Path(folder)
    records = _read_runs(folder / _RUNS)
    metrics = _read_metrics(folder / _METRICS, {record["run_id"] for record in records})
    children = {}  # parent id -> run ids
    for record in records:
        path = folder / _ARTIFACTS / record["run_id"] / CHILDREN_FILE
        if path.is_file():
            children[record["run_id"]] = read_children(path)
    here = {}  # original id -> run
    for run in search(store.client, [store.experiment_id], {SCHEMA_TAG: SCHEMA}):
        here[run.data.tags.get(IMPORTED_FROM, run.info.run_id)] = run
    new_ids: dict[str, str] = {original: run.info.run_id for original, run in here.items()}
    todo = [r for r in records if r["run_id"] not in here or _is_partial(here[r["run_id"]])]
    todo.sort(key=lambda record: record["parent_id"] is not None)  # parents first
    for record in todo:
        original = record["run_id"]
        if original not in new_ids:
            tags = {**record["tags"], SCHEMA_TAG: SCHEMA, IMPORTED_FROM: original}
            if record["parent_id"] in new_ids:
                tags[PARENT] = new_ids[record["parent_id"]]
            run = store.client.create_run(
                store.experiment_id, start_time=record["start"], tags=tags, run_name=record["name"]
            )
            new_ids[original] = run.info.run_id
    for record in todo[::-1]:  # children before the parents that name them
        run_id = new_ids[record["run_id"]]
        _fill(store, run_id, record, metrics.get(record["run_id"]), folder)
        if named := children.get(record["run_id"]):
            log_children(store, run_id, [new_ids[child] for child in named if child in new_ids])
        store.client.set_terminated(run_id, record["status"], record["end"])
    return Imported(len(todo), len(records) - len(todo))


def _record(run: Run, names: dict[str, str]) -> dict[str, Any]:
    info, tags = run.info, run.data.tags
    inputs = run.inputs.dataset_inputs if run.inputs else []
    datasets = [{k: getattr(i.dataset, k) for k in ("name", "digest", "source")} for i in inputs]
    kept = {key: tags[key] for key in _TAGS if key in tags}
    if SOURCE in kept:
        kept[SOURCE] = Path(kept[SOURCE]).name
    if CONTINUED_BY in kept:
        kept[CONTINUED_BY] = names.get(kept[CONTINUED_BY], kept[CONTINUED_BY])
    parent = tags.get(PARENT)
    return {
        "run_id": names[info.run_id],
        "name": info.run_name,
        "parent_id": names[parent] if parent else None,
        "status": info.status if info.status in _ENDED else "KILLED",
        "start": info.start_time,
        "end": info.end_time or info.start_time,
        "params": dict(run.data.params),
        "tags": kept,
        "dataset": datasets[0] if datasets else None,
    }


def _small_texts(reader: Reader, run_id: str, folder: str | None = None) -> Iterator[FileInfo]:
    for file in reader.client.list_artifacts(run_id, folder):
        if file.is_dir:
            yield from _small_texts(reader, run_id, file.path)
        elif file.path.endswith(_TEXT) and (file.file_size or 0) < _LARGEST_BYTES:
            yield file


def _is_partial(run: Run) -> bool:
    """Whether an import of this run was interrupted: ending it is the last step.

    A sweep that goes on with an imported run marks it with its owner.
    """
    tags = run.data.tags
    return run.info.status == "RUNNING" and IMPORTED_FROM in tags and OWNER not in tags


def _fill(
    store: Store, run_id: str, record: dict[str, Any], metrics: pd.DataFrame | None, folder: Path
) -> None:
    """Log everything of one run. Repeating any of it changes nothing."""
    client = store.client
    client.log_batch(run_id, params=[Param(k, v) for k, v in record["params"].items()])
    points = [] if metrics is None else metrics.itertuples(index=False)
    values = [Metric(p.key, p.value, p.timestamp, p.step) for p in points]  # pyright: ignore
    for start in range(0, len(values), _BATCH):
        client.log_batch(run_id, metrics=values[start : start + _BATCH])
    if record["dataset"]:
        log_dataset(store, run_id, record["dataset"])
    artifacts = folder / _ARTIFACTS / record["run_id"]
    if artifacts.is_dir():
        log_artifact_file(store, run_id, artifacts)


def _read_runs(path: Path) -> list[dict[str, Any]]:
    try:
        document = json.loads(path.read_text())
        if document["schema"] != SCHEMA:
            raise CreditError(
                f"{path} has schema {document['schema']!r}, not {SCHEMA!r}: export it again"
            )
        records = document["runs"]
        for record in records:
            _check(record, path)
    except OSError as error:
        raise CreditError(f"cannot read {path} ({error}): name the folder of an export") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _malformed(path, repr(error)) from error
    return records


def _check(record: dict[str, Any], path: Path) -> None:
    if not re.fullmatch(r"[0-9a-f]{32}", record["run_id"]):
        raise _malformed(path, f"run id {record['run_id']!r}")
    if record["status"] not in _ENDED:
        raise _malformed(path, f"status {record['status']!r}")
    texts = [record["name"], *record["params"].values(), *record["tags"].values()]
    if not all(isinstance(text, str) for text in texts):
        raise _malformed(path, f"run {record['run_id']} has a value that is not text")
    if not all(isinstance(record[key], int) for key in ("start", "end")):
        raise _malformed(path, f"run {record['run_id']} has a time that is not a whole number")
    if record["parent_id"] is not None and SPEC in record["tags"]:
        spec = RunSpec.from_mapping(record["params"])
        if spec.spec_hash != record["tags"][SPEC]:
            raise _malformed(path, f"parameters of run {record['run_id']} do not match its hash")
    if record["dataset"] is not None:
        [record["dataset"][key] for key in ("name", "digest", "source")]


def _read_metrics(path: Path, run_ids: set[str]) -> dict[str, pd.DataFrame]:
    """Run id -> its values."""
    try:
        frame = pd.read_parquet(path, columns=list(COLUMNS)).astype(COLUMNS)
    except (OSError, ValueError, TypeError, KeyError) as error:  # pyarrow's errors are ValueErrors
        raise _malformed(path, repr(error)[:200]) from error
    groups = {str(run_id): group for run_id, group in frame.groupby("run_id")}
    if unknown := groups.keys() - run_ids:
        raise _malformed(path, f"values of run {min(unknown)}, which {_RUNS} does not have")
    return groups


def _malformed(path: Path, what: str) -> CreditError:
    return CreditError(f"{path} is not a whole export ({what}): export it again")
