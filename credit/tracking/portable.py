"""Runs as files: exported from one tracking store, imported into any other.

A folder with `runs.json` (names, parameters, tags, times, status, dataset), `metrics.parquet`
(every value with its step and timestamp), `layers.parquet` (the tables of layers of all runs) and
`artifacts/<run id>/` (other small text files: the tables and verdicts of parents). Older exports
have a table of layers per run among these files. What is read is checked by `foreign` first.
"""

import contextlib
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from mlflow.entities import FileInfo, Metric, Param, Run

from credit.errors import CreditError
from credit.spec import SCHEMA
from credit.tracking.artifacts import (
    harmless,
    log_artifact_file,
    log_dataset,
    log_table,
    visible,
)
from credit.tracking.foreign import (
    ARTIFACTS,
    ENDED,
    LARGEST_BYTES,
    LAYERS,
    METRICS,
    RUNS,
    TAGS,
    TEXT,
    check_artifacts,
    is_run_id,
    read_layers,
    read_metrics,
    read_runs,
)
from credit.tracking.layers import TABLE, read_table, write_all
from credit.tracking.marks import (
    CHILDREN_FILE,
    CONTINUED_BY,
    IMPORTED_FROM,
    NOTE,
    OWNER,
    PARENT,
    REASON,
    SCHEMA_TAG,
    SOURCE,
    member_tag,
    search,
    sweeps_of,
)
from credit.tracking.reader import Reader, read_children
from credit.tracking.runs import join, log_children
from credit.tracking.store import Store
from credit.tracking.views import ANSWER

_BATCH = 1000
_LAYERS = f"{TABLE}.csv"
_SPEC = "checkpoint/spec.json"  # the parameters once more


class Imported(NamedTuple):
    """How many runs an import created, how many the store already had, and parents to publish."""

    created: int
    skipped: int
    parents: tuple[str, ...]
    """Those with new runs, and those that no page was made of yet."""


def export(reader: Reader, run_ids: Iterable[str], folder: Path | str) -> Path:
    """Write runs and their parents to `folder`; return it. An older export there is replaced."""
    folder = Path(folder)
    for path in (folder / name for name in (RUNS, METRICS, LAYERS, ARTIFACTS)):
        if path.is_symlink():
            raise CreditError(f"{path} is a link, which no export has: name another folder")
    if folder.exists() and not folder.is_dir():
        raise CreditError(f"{folder} is a file: name a folder")
    if folder.exists() and any(folder.iterdir()) and not (folder / RUNS).is_file():
        raise CreditError(f"{folder} is not empty and not an export: name another folder")
    runs = {run_id: reader.run(run_id) for run_id in run_ids}
    for run in [*runs.values()]:
        if PARENT in run.data.tags and not sweeps_of(run.data.tags) & runs.keys():
            runs[run.data.tags[PARENT]] = reader.run(run.data.tags[PARENT])
    names = {run_id: run.data.tags.get(IMPORTED_FROM, run_id) for run_id, run in runs.items()}
    for run_id, name in names.items():
        if not is_run_id(name):
            raise CreditError(
                f"run {run_id} has the tag {IMPORTED_FROM}={name!r}, which is no run id: delete it"
            )
    shutil.rmtree(folder / ARTIFACTS, ignore_errors=True)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CreditError(
            f"cannot make {folder} ({error.strerror}): name a folder that you can write"
        ) from error
    metrics = reader.history(runs).dropna()
    metrics["run_id"] = [names[run_id] for run_id in metrics["run_id"]]
    metrics = metrics.sort_values(["run_id", "key", "step"], ignore_index=True)
    metrics.to_parquet(folder / METRICS, compression="zstd", index=False)
    tables = {}  # original id -> its table of layers
    for run_id in runs:
        files = {file.path for file in _small_texts(reader, run_id)} - {_SPEC}
        with contextlib.suppress(CreditError):  # what is no table goes along as a file
            if _LAYERS in files:
                tables[names[run_id]] = read_table(reader.artifact(run_id, _LAYERS))
                files -= {_LAYERS, f"{TABLE}.md"}
        for name in sorted(files):
            if name.endswith(".md") and f"{name[:-3]}.csv" in files:
                continue  # the same table, to read
            target = _inside(folder / ARTIFACTS / names[run_id], name)
            target.parent.mkdir(parents=True, exist_ok=True)
            text = reader.artifact(run_id, name).read_text()
            for own, original in names.items():
                text = text.replace(own, original)  # ids in runs.json
            target.write_text(text)
    write_all(tables, folder / LAYERS)
    records = [_record(run, names) for run in runs.values()]
    records.sort(key=lambda record: (record["start"], record["run_id"]))
    document = {"schema": SCHEMA, "runs": records}
    (folder / RUNS).write_text(json.dumps(document, indent=1, allow_nan=False) + "\n")
    return folder


def import_into(store: Store, folder: Path | str) -> Imported:
    """Recreate exported runs in the store's experiment; those it already has are skipped.

    Interrupted, it can simply be repeated. Imported finished runs count as finished in a sweep.
    """
    folder = Path(folder)
    records = read_runs(folder / RUNS)
    ids = {record["run_id"] for record in records}
    metrics = read_metrics(folder / METRICS, ids)
    layers = read_layers(folder / LAYERS, ids)
    check_artifacts(folder, ids)
    children = {}  # parent id -> run ids
    for record in records:
        path = folder / ARTIFACTS / record["run_id"] / CHILDREN_FILE
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
            tags = {**_shown(record["tags"]), SCHEMA_TAG: SCHEMA, IMPORTED_FROM: original}
            if record["parent_id"] in new_ids:
                tags[PARENT] = new_ids[record["parent_id"]]
                tags |= member_tag(tags[PARENT])
            run = store.client.create_run(
                store.experiment_id, start_time=record["start"], tags=tags, run_name=record["name"]
            )
            new_ids[original] = run.info.run_id
    for record in todo[::-1]:  # children before the parents that name them
        run_id = new_ids[record["run_id"]]
        own = record["run_id"]
        _fill(store, run_id, record, metrics.get(own), layers.get(own), folder)
        if named := children.get(record["run_id"]):
            log_children(store, run_id, [new_ids[child] for child in named if child in new_ids])
        store.client.set_terminated(run_id, record["status"], record["end"])
    _join_all(store, records if todo else [], children, new_ids)
    changed = {r["parent_id"] or r["run_id"] for r in todo}
    parents = [
        new_ids[r["run_id"]]
        for r in records
        if r["parent_id"] is None
        and (r["run_id"] in changed or ANSWER not in here[r["run_id"]].data.tags)
    ]
    return Imported(len(todo), len(records) - len(todo), tuple(parents))


def _join_all(
    store: Store,
    records: Iterable[Mapping[str, Any]],
    children: Mapping[str, list[str]],
    new_ids: Mapping[str, str],
) -> None:
    """Mark runs as used by every parent of the export, also those that were there before it."""
    members = {parent: {*named} for parent, named in children.items()}
    for record in records:
        for parent in {record["parent_id"], *record.get("sweeps", ())} - {None}:
            members.setdefault(parent, set()).add(record["run_id"])
    for parent in members.keys() & new_ids.keys():
        join(store, new_ids[parent], [new_ids[run] for run in members[parent] if run in new_ids])


def _inside(folder: Path, name: str) -> Path:
    """`folder / name`, where that stays below it: a server says what its artifacts are called."""
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise CreditError(f"an artifact is called {name!r}, which leads out of {folder}: delete it")
    return path


def _shown(tags: Mapping[str, str]) -> dict[str, str]:
    """Tags whose texts are only texts, wherever they are shown."""
    changed = {NOTE: harmless, REASON: lambda text: visible(text, keep="\n\t")}
    return {key: changed.get(key, visible)(value) for key, value in tags.items()}


def _record(run: Run, names: dict[str, str]) -> dict[str, Any]:
    info, tags = run.info, run.data.tags
    inputs = run.inputs.dataset_inputs if run.inputs else []
    datasets = [{k: getattr(i.dataset, k) for k in ("name", "digest", "source")} for i in inputs]
    kept = {key: tags[key] for key in TAGS if key in tags}
    if NOTE in kept:  # below it are links to runs of this store
        kept[NOTE] = kept[NOTE].partition("\n\n")[0]
    if SOURCE in kept:
        kept[SOURCE] = Path(kept[SOURCE]).name
    if CONTINUED_BY in kept:
        kept[CONTINUED_BY] = names.get(kept[CONTINUED_BY], kept[CONTINUED_BY])
    sweeps = sorted(names[parent] for parent in sweeps_of(tags) & names.keys())
    return {
        "run_id": names[info.run_id],
        "name": info.run_name,
        "parent_id": names.get(tags.get(PARENT, ""), next(iter(sweeps), None)),
        "sweeps": sweeps,
        "status": info.status if info.status in ENDED else "KILLED",
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
        elif file.path.endswith(TEXT) and (file.file_size or 0) < LARGEST_BYTES:
            yield file


def _is_partial(run: Run) -> bool:
    """Whether an import of this run was interrupted: ending it is the last step.

    A sweep that goes on with an imported run marks it with its owner.
    """
    tags = run.data.tags
    return run.info.status == "RUNNING" and IMPORTED_FROM in tags and OWNER not in tags


def _fill(
    store: Store,
    run_id: str,
    record: dict[str, Any],
    metrics: pd.DataFrame | None,
    layers: pd.DataFrame | None,
    folder: Path,
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
    if layers is not None:
        log_table(store, run_id, layers, TABLE)
    artifacts = folder / ARTIFACTS / record["run_id"]
    if artifacts.is_dir():
        log_artifact_file(store, run_id, artifacts)
