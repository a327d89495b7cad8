"""Runs with all they carry, as plain rows, by the fastest way that the store offers.

MLflow takes milliseconds for a run's objects: a local SQLite file answers queries instead, and any
other store is asked through the client. The result is the same.
"""

import contextlib
import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Run

from credit.errors import CreditError
from credit.spec import RunSpec, field_types, parse_value
from credit.tracking.database import read_only
from credit.tracking.marks import IMPORTED_FROM, OWNER, PARENT, REASON, SPEC, search
from credit.tracking.store import sqlite_path

QUESTIONS = 20
"""Most questions to a server for runs by their hash; for more, all runs are read in pages."""


class Row(NamedTuple):
    """One run. Times are in milliseconds; `latest` has each metric's last value and its step."""

    run_id: str
    name: str
    status: str  # RUNNING, FINISHED, FAILED, KILLED or SCHEDULED
    start: int | None
    end: int | None
    params: dict[str, str]
    tags: dict[str, str]
    latest: dict[str, tuple[float, int]]

    @property
    def finished(self) -> bool:
        """Nothing is left to do."""
        return self.status == "FINISHED"

    @property
    def owner(self) -> str:
        """The place whose commands trained it last, "" if none is noted."""
        return self.tags.get(OWNER, "")

    @property
    def epoch(self) -> int:
        """The last one that it has recorded, 0 if none."""
        return self.latest.get("loss/train", (0.0, 0))[1]


def select(
    uri: str,
    client: MlflowClient,
    experiments: list[str],
    tags: Mapping[str, str],
    hashes: Collection[str] | None = None,
    filter: str = "",
) -> list[Row]:
    """The live runs of experiments that carry `tags`, of some spec hashes or all; newest first.

    `filter` has further clauses in MLflow's language, which only the client can answer.
    """
    path = sqlite_path(uri)
    if path and not filter:
        # another version's tables, or a database that is busy for long: MLflow knows
        with contextlib.suppress(sqlite3.Error), read_only(path) as database:
            return _in_order(_query(database, experiments, tags, hashes))
    few = hashes is not None and len(hashes) <= QUESTIONS  # MLflow's filters have no OR
    asked = [{**tags, SPEC: key} for key in sorted(hashes or ())] if few else [tags]
    rows = [_row(run) for own in asked for run in search(client, experiments, own, filter)]
    return _in_order(row for row in rows if hashes is None or row.tags.get(SPEC) in hashes)


def _in_order(rows: Iterable[Row]) -> list[Row]:
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

    A measurement that is no longer valid logs none, and MLflow keeps the number from when it still
    was. `valid/reference` is in every measurement.
    """
    _, measured = row.latest.get("valid/reference", (1.0, 0))
    return {key: value for key, (value, step) in row.latest.items() if step >= measured}


def placeholders(values: Collection[object]) -> str:
    """Placeholders for `values` in a query."""
    return ",".join("?" * len(values))


def _query(
    database: sqlite3.Connection,
    experiments: list[str],
    tags: Mapping[str, str],
    hashes: Collection[str] | None,
) -> list[Row]:
    live = "SELECT run_uuid FROM runs WHERE lifecycle_stage = 'active' AND experiment_id IN"
    chosen, values = f"{live} ({placeholders(experiments)})", [*experiments]
    wanted: list[tuple[str, Collection[str]]] = [(key, [value]) for key, value in tags.items()]
    for key, allowed in wanted if hashes is None else [*wanted, (SPEC, hashes)]:
        carry = f"SELECT run_uuid FROM tags WHERE key = ? AND value IN ({placeholders(allowed)})"
        chosen += f" AND run_uuid IN ({carry})"
        values += [key, *allowed]

    def read(columns: str, table: str) -> Iterable[tuple]:
        query = f"SELECT run_uuid, {columns} FROM {table} WHERE run_uuid IN ({chosen})"
        return database.execute(query, values)

    database.execute("BEGIN")  # all of it at one moment
    found = read("name, status, start_time, end_time", "runs")
    rows = {run[0]: Row(*run, params={}, tags={}, latest={}) for run in found}
    for run, key, value in read("key, value", "params"):
        rows[run].params[key] = value
    for run, key, value in read("key, value", "tags"):
        rows[run].tags[key] = value
    for run, key, value, step, is_nan in read("key, value, step, is_nan", "latest_metrics"):
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
        params=data.params,
        tags=data.tags,
        # `data.metrics` has no steps
        latest={metric.key: (metric.value, metric.step) for metric in data._metric_objs},
    )
