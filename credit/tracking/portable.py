"""Runs as files: exported from one tracking store, imported into any other.

A folder with `runs.json` (names, parameters, tags, times, status, dataset), `metrics.parquet`
(every value with its step and timestamp), `layers.parquet` (the tables of layers) and
`artifacts/<run id>/` (other small text files). What is read is checked by `foreign` first.
"""

import contextlib
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from mlflow.entities import FileInfo, Metric, Param, Run

from credit.errors import CreditError
from credit.spec import SCHEMA
from credit.tracking import artifacts, foreign, marks
from credit.tracking.foreign import ARTIFACTS, LAYERS, METRICS, RUNS
from credit.tracking.reader import LAYERS as TABLE
from credit.tracking.reader import Reader, read_layers
from credit.tracking.runs import join, log_children
from credit.tracking.store import Store
from credit.tracking.views import ANSWER

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
    runs = {run_id: reader.run(run_id) for run_id in run_ids}
    for run in [*runs.values()]:
        tags = run.data.tags
        if marks.PARENT in tags and not marks.sweeps_of(tags) & runs.keys():
            runs[tags[marks.PARENT]] = reader.run(tags[marks.PARENT])
    names = {i: run.data.tags.get(marks.IMPORTED_FROM, i) for i, run in runs.items()}
    for run_id, name in names.items():
        if not foreign.is_run_id(name):
            raise CreditError(
                f"run {run_id} has the tag {marks.IMPORTED_FROM}={name!r}, which is no run id: "
                "delete it"
            )
    _make(folder)
    shutil.rmtree(folder / ARTIFACTS, ignore_errors=True)
    metrics = reader.history(runs).dropna()
    metrics["run_id"] = [names[run_id] for run_id in metrics["run_id"]]
    metrics = metrics.sort_values(["run_id", "key", "step"], ignore_index=True)
    metrics.to_parquet(folder / METRICS, compression="zstd", index=False)
    tables = {}  # original id -> its table of layers
    for run_id in runs:
        files = {file.path for file in _small_texts(reader, run_id)} - {_SPEC}
        with contextlib.suppress(CreditError):  # what is no table goes along as a file
            if f"{TABLE}.csv" in files:
                tables[names[run_id]] = read_layers(reader.artifact(run_id, f"{TABLE}.csv"))
                files -= {f"{TABLE}.csv", f"{TABLE}.md"}
        for name in sorted(files):
            if name.endswith(".md") and f"{name[:-3]}.csv" in files:
                continue  # the same table, to read
            target = _inside(folder / ARTIFACTS / names[run_id], name)
            target.parent.mkdir(parents=True, exist_ok=True)
            text = reader.artifact(run_id, name).read_text()
            for own, original in names.items():
                text = text.replace(own, original)  # ids in runs.json
            target.write_text(text)
    _write_layers(tables, folder / LAYERS)
    records = [_record(run, names) for run in runs.values()]
    records.sort(key=lambda record: (record["start"], record["run_id"]))
    document = {"schema": SCHEMA, "runs": records}
    (folder / RUNS).write_text(json.dumps(document, indent=1, allow_nan=False) + "\n")
    return folder


def _write_layers(tables: Mapping[str, pd.DataFrame], path: Path) -> None:
    """Write the tables of layers of runs, by run id, as one; none where no run has any."""
    path.unlink(missing_ok=True)
    if not tables:
        return
    table = pd.concat([own.assign(run_id=run_id) for run_id, own in sorted(tables.items())])
    mixed = [name for name in table if table[name].dtype == object]  # numbers, and words in another
    first = ["run_id", "layer"]
    table = table[[*first, *table.columns.drop(first)]].astype(dict.fromkeys(mixed, "string"))
    table.to_parquet(path, compression="zstd", index=False)


def _make(folder: Path) -> None:
    """Make the folder of an export; refuse one that holds something else."""
    for path in (folder / name for name in (RUNS, METRICS, LAYERS, ARTIFACTS)):
        if path.is_symlink():
            raise CreditError(f"{path} is a link, which no export has: name another folder")
    if folder.exists() and not folder.is_dir():
        raise CreditError(f"{folder} is a file: name a folder")
    if folder.exists() and any(folder.iterdir()) and not (folder / RUNS).is_file():
        raise CreditError(f"{folder} is not empty and not an export: name another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CreditError(
            f"cannot make {folder} ({error.strerror}): name a folder that you can write"
        ) from error


def import_into(store: Store, folder: Path | str) -> Imported:
    """Recreate exported runs in the store's experiment; those it already has are skipped.

    Interrupted, it can simply be repeated. Imported finished runs count as finished in a sweep.
    """
    folder = Path(folder)
    records = foreign.read_runs(folder / RUNS)
    ids = {record["run_id"] for record in records}
    metrics = foreign.read_metrics(folder / METRICS, ids)
    tables = foreign.read_layers(folder / LAYERS, ids)
    foreign.check_artifacts(folder, ids)
    known = marks.search(store.client, [store.experiment_id], {marks.SCHEMA_TAG: SCHEMA})
    here = {run.data.tags.get(marks.IMPORTED_FROM, run.info.run_id): run for run in known}
    new_ids: dict[str, str] = {original: run.info.run_id for original, run in here.items()}
    todo = [r for r in records if r["run_id"] not in here or _is_partial(here[r["run_id"]])]
    todo.sort(key=lambda record: record["parent_id"] is not None)  # parents first
    for record in todo:
        original = record["run_id"]
        if original not in new_ids:
            tags = _shown(record["tags"])
            tags |= {marks.SCHEMA_TAG: SCHEMA, marks.IMPORTED_FROM: original}
            if parent := new_ids.get(record["parent_id"]):
                tags |= {marks.PARENT: parent, **marks.member_tag(parent)}
            run = store.client.create_run(
                store.experiment_id, start_time=record["start"], tags=tags, run_name=record["name"]
            )
            new_ids[original] = run.info.run_id
    members: dict[str, list[str]] = {}  # of every parent, also those that were there before
    for record in records:
        for parent in record["sweeps"]:
            members.setdefault(parent, []).append(new_ids[record["run_id"]])
    for record in todo[::-1]:  # children before the parents that name them
        own = record["run_id"]
        _fill(store, new_ids[own], record, metrics.get(own), tables.get(own), folder)
        if own in members:
            log_children(store, new_ids[own], members[own])
        store.client.set_terminated(new_ids[own], record["status"], record["end"])
    for parent in members.keys() & new_ids.keys() if todo else ():
        join(store, new_ids[parent], members[parent])
    changed = {r["parent_id"] or r["run_id"] for r in todo}
    parents = [
        new_ids[r["run_id"]]
        for r in records
        if r["parent_id"] is None
        and (r["run_id"] in changed or ANSWER not in here[r["run_id"]].data.tags)
    ]
    return Imported(len(todo), len(records) - len(todo), tuple(parents))


def _inside(folder: Path, name: str) -> Path:
    """`folder / name`, where that stays below it: a server says what its artifacts are called."""
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise CreditError(f"an artifact is called {name!r}, which leads out of {folder}: delete it")
    return path


def _shown(tags: Mapping[str, str]) -> dict[str, str]:
    """Tags whose texts are only texts, wherever they are shown."""
    lines = partial(artifacts.visible, keep="\n\t")
    changed = {marks.NOTE: artifacts.harmless, marks.REASON: lines}
    return {key: changed.get(key, artifacts.visible)(value) for key, value in tags.items()}


def _record(run: Run, names: dict[str, str]) -> dict[str, Any]:
    info, tags = run.info, run.data.tags
    inputs = run.inputs.dataset_inputs if run.inputs else []
    datasets = [{k: getattr(i.dataset, k) for k in ("name", "digest", "source")} for i in inputs]
    kept = {key: tags[key] for key in foreign.TAGS if key in tags}
    changes = {
        marks.NOTE: lambda note: note.partition("\n\n")[0],  # then come links to this store's runs
        marks.SOURCE: lambda source: Path(source).name,
        marks.CONTINUED_BY: lambda run_id: names.get(run_id, run_id),
    }
    kept |= {key: change(kept[key]) for key, change in changes.items() if key in kept}
    sweeps = sorted(names[parent] for parent in marks.sweeps_of(tags) & names.keys())
    return {
        "run_id": names[info.run_id],
        "name": info.run_name,
        "parent_id": names.get(tags.get(marks.PARENT, ""), next(iter(sweeps), None)),
        "sweeps": sweeps,
        "status": info.status if info.status in foreign.ENDED else "KILLED",
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
        elif file.path.endswith(foreign.TEXT) and (file.file_size or 0) < foreign.LARGEST_BYTES:
            yield file


def _is_partial(run: Run) -> bool:
    """Return whether an import of this run was interrupted, and no sweep goes on with it."""
    tags = run.data.tags
    return run.info.status == "RUNNING" and marks.IMPORTED_FROM in tags and marks.OWNER not in tags


def _fill(
    store: Store,
    run_id: str,
    record: dict[str, Any],
    metrics: pd.DataFrame | None,
    table: pd.DataFrame | None,
    folder: Path,
) -> None:
    """Log everything of one run. Repeating any of it changes nothing."""
    client = store.client
    params = [Param(k, v) for k, v in record["params"].items()]
    points = [] if metrics is None else metrics.itertuples(index=False)
    values = [Metric(p.key, p.value, p.timestamp, p.step) for p in points]  # pyright: ignore
    client.log_batch(run_id, values, params)
    if record["dataset"]:
        artifacts.log_dataset(store, run_id, record["dataset"])
    if table is not None:
        artifacts.log_table(store, run_id, table, TABLE)
    files = folder / ARTIFACTS / record["run_id"]
    if files.is_dir():
        client.log_artifacts(run_id, str(files))
