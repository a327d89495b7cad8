"""Parent and child runs: opened, found again by their hashes, continued.

One parent per invocation of an experiment, one child per RunSpec, known by the tags of `marks`.
"""

import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache

from mlflow import MlflowClient
from mlflow.entities import Param, Run, RunTag

from credit.errors import CreditError
from credit.spec import SCHEMA, RunSpec, one_place, same_value
from credit.tracking.artifacts import harmless, log_dataset, log_json
from credit.tracking.marks import (
    CHILDREN_FILE,
    CONTINUED_BY,
    DEVICE,
    ENTRY_POINT,
    KIND,
    NOTE,
    OWNER,
    PARENT,
    REASON,
    RESOLVED,
    SCHEMA_TAG,
    SPEC,
    SWEEP,
    context_tags,
    member_tag,
    search,
    settings,
)
from credit.tracking.notes import note_tags
from credit.tracking.rows import Row, select
from credit.tracking.store import AWAY, Store, reach, tracking_uri

LEFT_OPEN = {"device": "auto", "credit_reduction": "published", "ks": "all"}
"""Values that leave a choice open. `mlflow run` logs them as given, before the choice is made."""


def open_parent(
    store: Store,
    name: str,
    experiment_kind: str,
    params: Mapping[str, str],
    sweep_hash: str,
    description: str = "",
    owner: str = "",
) -> str:
    """The parent run of this invocation, as a run id: RUNNING, named, with its parameters.

    `params` are logged twice, by their names and with `RESOLVED` before them; `mlflow run` has
    logged what was typed by their names before. Under it (MLFLOW_RUN_ID) the parent is the run that
    it opened, which then continues older parents of the same sweep hash. Otherwise the newest such
    parent with these parameters goes on, or a new one begins. `owner` is the place whose commands
    train the sweep.

    Raises:
        CreditError: the run of MLFLOW_RUN_ID has another value of a parameter.
    """
    client = store.client
    older = list(search(client, [store.experiment_id], {SWEEP: sweep_hash, SCHEMA_TAG: SCHEMA}))
    given = os.environ.get("MLFLOW_RUN_ID")
    tags = {SCHEMA_TAG: SCHEMA, KIND: experiment_kind, SWEEP: sweep_hash, OWNER: owner}
    if given:
        run = client.get_run(given)
        for key in _differences(run, params):
            logged = settings(run.data.params)[key]
            raise CreditError(
                f"{key}={params[key]!r}, but run {given} of MLFLOW_RUN_ID has {key}={logged!r}: "
                f"pass {key} on unchanged, or unset MLFLOW_RUN_ID"
            )
    else:
        run = next((r for r in older if not _differences(r, params)), None)
        if run is None:
            created = {**context_tags(), **tags}
            run = client.create_run(store.experiment_id, tags=created, run_name=name)
    if NOTE not in run.data.tags:  # else what it came to so far, or what a person wrote
        tags |= note_tags({}, harmless(description))
    run_id = run.info.run_id
    client.update_run(run_id, status="RUNNING", name=name)
    missing = {k: v for k, v in context_tags().items() if k not in run.data.tags}
    resolved = {f"{RESOLVED}{key}": value for key, value in params.items()}
    _log(client, run, {**params, **resolved}, {**missing, **tags})
    for parent in older:
        if parent.info.run_id != run_id and CONTINUED_BY not in parent.data.tags:
            client.set_tag(parent.info.run_id, CONTINUED_BY, run_id)
            if parent.info.status == "RUNNING":
                client.set_terminated(parent.info.run_id, "KILLED")
    return run_id


def settle_launched(run_id: str, refused: str) -> None:
    """Name the run that `mlflow run` made for its command, at the command's end.

    Where that was refused, tag the run with why and delete it. A run that an experiment has made
    its parent stays as it is.
    """
    with contextlib.suppress(*AWAY, CreditError):  # the store may be what the command failed for
        client = reach(tracking_uri())
        tags = client.get_run(run_id).data.tags
        if ENTRY_POINT not in tags or KIND in tags:
            return
        name = tags[ENTRY_POINT]
        client.update_run(run_id, name=f"{name} refused" if refused else name)
        if refused:
            client.set_tag(run_id, REASON, refused[:5000])  # characters of a tag
            client.set_terminated(run_id, "FAILED")  # else `mlflow run` would, and fail
            client.delete_run(run_id)


def find_children(store: Store, hashes: Iterable[str]) -> dict[str, Row]:
    """Runs of this experiment by spec hash, for those of `hashes` that it has.

    Of several runs with one hash a finished one is taken, else the most recent.
    """
    tags = {SCHEMA_TAG: SCHEMA}
    rows = select(store.uri, store.client, [store.experiment_id], tags, set(hashes))
    best = sorted(rows, key=lambda row: not row.finished)
    return {row.tags[SPEC]: row for row in reversed(best)}


def open_child(
    store: Store,
    parent_id: str,
    spec: RunSpec,
    found: Row | None = None,
    dataset_info: Mapping[str, str] | None = None,
    later: Callable[[str, Callable[[], None]], None] = lambda _, action: action(),
    name: str | None = None,
    owner: str = "",
    context: Mapping[str, str] | None = None,
) -> str:
    """The run that trains `spec`, as a run id: `found` again, or a new child of `parent_id`.

    Args:
        dataset_info: `name`, `digest` and `source` of the training data, logged as a dataset input.
        later: takes the run and what logs its parameters and data, to be called in the background
            (`Writer.then`); by default now. What a killed process left open is logged on reopening.
        name: of a new run; None is `spec.name`.
        owner: the place whose commands train it.
    """
    client, params = store.client, spec.to_params()
    tags = {SCHEMA_TAG: SCHEMA, SPEC: spec.spec_hash, PARENT: parent_id, OWNER: owner}
    tags |= member_tag(parent_id)
    if found is None:
        blocks = f"last {spec.k} of {spec.depth} blocks train"
        note = f"{spec.dataset}, credit rule {spec.rule}, {blocks}, seed {spec.seed}"
        tags[NOTE] = harmless(note)
        run = client.create_run(
            store.experiment_id,
            tags={**(context_tags() if context is None else context), **tags},
            run_name=name or spec.name,
        )
    else:
        run = client.get_run(found.run_id)
        client.update_run(found.run_id, status="RUNNING")
        _note_move(run.data.tags.get(DEVICE), (context or {}).get(DEVICE))
        if PARENT in run.data.tags:  # it stays a run of the parent that it was nested under
            tags |= member_tag(run.data.tags[PARENT])
        if REASON in run.data.tags:
            client.delete_tag(found.run_id, REASON)
        _log(client, run, {}, tags)

    def complete() -> None:
        _log(client, run, params, {})
        if dataset_info and not (run.inputs and run.inputs.dataset_inputs):
            log_dataset(store, run.info.run_id, dataset_info)

    later(run.info.run_id, complete)
    return run.info.run_id


@lru_cache
def _note_move(before: str | None, now: str | None) -> None:
    """Say, once, that runs go on on another device than they began on."""
    if before and now and before != now:
        print(
            f"credit: runs that began on {before} go on on {now}: not bit for bit", file=sys.stderr
        )


def finish(
    store: Store,
    run_id: str,
    status: str = "FINISHED",
    reason: str | None = None,
    end_time: int | None = None,
) -> None:
    """End a run as FINISHED, FAILED or KILLED, at `end_time` in milliseconds (default: now)."""
    if reason:
        store.client.set_tag(run_id, REASON, reason)
    store.client.set_terminated(run_id, status, end_time)


def log_children(store: Store, parent_id: str, run_ids: Iterable[str]) -> None:
    """Note on the parent which runs its results come from, also those of other parents."""
    log_json(store, parent_id, {"runs": list(run_ids)}, CHILDREN_FILE)


def log_results(
    store: Store, run_id: str, metrics: Mapping[str, float], dataset_info: Mapping[str, str]
) -> None:
    """Log a run's single values and its data, once: a value that is already there is left alone."""
    run = store.client.get_run(run_id)
    for name, value in metrics.items():
        if run.data.metrics.get(name) != value:
            store.client.log_metric(run_id, name, value)
    if not (run.inputs and run.inputs.dataset_inputs):
        log_dataset(store, run_id, dataset_info)


def join(store: Store, parent_id: str, run_ids: Iterable[str]) -> None:
    """Mark runs as used by a parent, whichever parent they were trained for."""
    tag = member_tag(parent_id)
    lacking = set(run_ids)
    if lacking:
        rows = select(store.uri, store.client, [store.experiment_id], tag)
        lacking -= {row.run_id for row in rows}
    for run_id in sorted(lacking):
        store.client.log_batch(run_id, tags=[RunTag(key, value) for key, value in tag.items()])


def _log(
    client: MlflowClient, run: Run, params: Mapping[str, str], tags: Mapping[str, str]
) -> None:
    """Log the parameters that the run lacks, and the tags."""
    missing = [Param(k, v) for k, v in params.items() if k not in run.data.params]
    run_tags = [RunTag(key, value) for key, value in tags.items()]
    client.log_batch(run.info.run_id, params=missing, tags=run_tags)


def _differences(run: Run, params: Mapping[str, str]) -> list[str]:
    """Return the parameters that a parent run has with other values."""
    logged = settings(run.data.params)

    def agrees(name: str, value: str) -> bool:
        if name not in logged or logged[name] == LEFT_OPEN.get(name):
            return True
        if name == "device" and one_place(value) == "cuda":
            return "," in logged[name] or one_place(logged[name]) == "cuda"
        return same_value(logged[name], value)

    return [name for name, value in params.items() if not agrees(name, value)]
