"""Runs with all they carry, as plain rows, by the fastest way that the store offers.

MLflow builds an object for every parameter, tag and metric, which takes milliseconds a run. A local
SQLite file therefore answers read-only queries; any other store is asked through the client. The
result is the same.
"""

import contextlib
import itertools
import math
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Run

from credit.errors import CreditError
from credit.spec import RunSpec, field_types, parse_value
from credit.tracking.database import read_only
from credit.tracking.marks import IMPORTED_FROM, PARENT, REASON, SPEC, search
from credit.tracking.store import sqlite_path

_AT_ONCE = 500
"""Ids in one query."""
_COLUMNS = "run_uuid, name, status, start_time, end_time, artifact_uri"


class Row(NamedTuple):
    """One run. Times are in milliseconds; `latest` has each metric's last value and its step."""

    run_id: str
    name: str
    status: str
    start: int | None
    end: int | None
    artifact_uri: str
    params: dict[str, str]
    tags: dict[str, str]
    latest: dict[str, tuple[float, int]]


QUESTIONS = 20
"""Most questions to a server for a list of values; for more, all runs are read in pages."""
Tags = Mapping[str, str | Collection[str]]
"""Tag -> its value, or several of which one must be it."""


def select(
    uri: str,
    client: MlflowClient,
    experiments: list[str],
    tags: Tags,
    ids: Collection[str] | None = None,
    filter: str = "",
) -> list[Row]:
    """The live runs of some experiments that carry `tags`, of `ids` or all, newest first.

    `filter` has further clauses in MLflow's language, which only the client can answer.
    """
    allowed = {key: [value] if isinstance(value, str) else [*value] for key, value in tags.items()}
    parts = [None] if ids is None else list(chunks(sorted(ids)))
    path = sqlite_path(uri)
    found = None
    if path and not filter:
        # another version's tables, or a database that is busy for long: MLflow knows
        with contextlib.suppress(sqlite3.Error), read_only(path) as database:
            found = [row for part in parts for row in _query(database, experiments, allowed, part)]
    if found is None:  # MLflow's filters have no OR, and IN for run ids alone
        asked = allowed
        if math.prod(len(values) for values in allowed.values()) > QUESTIONS:
            asked = {key: values for key, values in allowed.items() if len(values) == 1}
        clauses = [_and_one_of(filter, part) for part in parts]
        found = [
            _row(run)
            for clause in clauses
            for values in itertools.product(*asked.values())
            for run in search(client, experiments, dict(zip(asked, values, strict=True)), clause)
            if all(run.data.tags.get(key) in values for key, values in allowed.items())
        ]
    return in_order(found)


def in_order(rows: Iterable[Row]) -> list[Row]:
    """Newest first, as MLflow sorts: by start, then by id."""
    return sorted(rows, key=lambda row: (-(row.start or 0), row.run_id))


def table(rows: Iterable[Row]) -> pd.DataFrame:
    """Return runs as typed columns, as `Reader.runs` says; none with other values in its fields."""
    types, defaults = field_types(), RunSpec().to_params()
    kept, settings = [], []
    for row in rows:
        given = defaults | row.params
        with contextlib.suppress(CreditError):
            settings.append({name: parse_value(name, t, given[name]) for name, t in types.items()})
            kept.append(row)
    tags = {
        "parent_id": PARENT,
        "spec_hash": SPEC,
        "reason": REASON,
        "imported_from": IMPORTED_FROM,
    }
    columns = {
        **info(kept),
        **{name: [row.tags.get(tag) for row in kept] for name, tag in tags.items()},
        **{name: pd.Series([own[name] for own in settings], dtype=t) for name, t in types.items()},
    }
    current = [_current(row) for row in kept]
    for key in sorted({key for metrics in current for key in metrics}):
        columns[key] = [metrics.get(key, float("nan")) for metrics in current]
    return pd.DataFrame(columns)


def info(rows: Sequence[Row]) -> dict[str, Any]:
    """Return the columns run_id, name, status, started and ended (UTC)."""
    times = {"started": [row.start for row in rows], "ended": [row.end for row in rows]}
    return {
        "run_id": pd.Series([row.run_id for row in rows], dtype=str),
        "name": [row.name for row in rows],
        "status": [row.status for row in rows],
        **{name: pd.to_datetime(ms, unit="ms", utc=True) for name, ms in times.items()},
    }


def _current(row: Row) -> dict[str, float]:
    """A run's last values, without those that an epoch before its last measurement left behind.

    MLflow keeps the last value that was logged. A measurement that is no longer valid logs none, so
    that "last" would be a number from when it still was; `valid/reference` is in every measurement.
    """
    _, measured = row.latest.get("valid/reference", (1.0, 0))
    return {key: value for key, (value, step) in row.latest.items() if step >= measured}


def marks(values: Sequence[object]) -> str:
    """Placeholders for `values` in a query."""
    return ",".join("?" * len(values))


def chunks(ids: list[str]) -> Iterator[list[str]]:
    """`ids` in pieces that fit one query."""
    for start in range(0, len(ids), _AT_ONCE):
        yield ids[start : start + _AT_ONCE]


def _query(
    database: sqlite3.Connection,
    experiments: list[str],
    tags: Mapping[str, list[str]],
    ids: list[str] | None,
) -> list[Row]:
    query = (
        f"SELECT {_COLUMNS} FROM runs WHERE lifecycle_stage = 'active' "
        f"AND experiment_id IN ({marks(experiments)})"
    )
    values = [*experiments]
    for key, allowed in tags.items():
        carry = f"SELECT run_uuid FROM tags WHERE key = ? AND value IN ({marks(allowed)})"
        query += f" AND run_uuid IN ({carry})"
        values += [key, *allowed]
    if ids is not None:
        query += f" AND run_uuid IN ({marks(ids)})"
        values += ids
    rows = {
        run[0]: Row(*run, params={}, tags={}, latest={}) for run in database.execute(query, values)
    }
    for part in chunks(list(rows)):
        query = f"SELECT run_uuid, key, {{}} FROM {{}} WHERE run_uuid IN ({marks(part)})"
        for run, key, value in database.execute(query.format("value", "params"), part):
            rows[run].params[key] = value
        for run, key, value in database.execute(query.format("value", "tags"), part):
            rows[run].tags[key] = value
        latest = query.format("value, step, is_nan", "latest_metrics")
        for run, key, value, step, is_nan in database.execute(latest, part):
            rows[run].latest[key] = (float("nan") if is_nan else value, step)
    return list(rows.values())


def _row(run: Run) -> Row:
    info, data = run.info, run.data
    return Row(
        info.run_id,
        info.run_name or "",
        info.status,
        info.start_time,
        info.end_time,
        info.artifact_uri or "",
        params=data.params,
        tags=data.tags,
        # `data.metrics` has no steps
        latest={metric.key: (metric.value, metric.step) for metric in data._metric_objs},
    )


def _and_one_of(filter: str, ids: list[str] | None) -> str:
    if ids is None:
        return filter
    listed = ", ".join(f"'{run_id}'" for run_id in ids)
    return f"{filter} and " * bool(filter) + f"attributes.run_id IN ({listed})"
