"""Every logged value of some runs, by the fastest way that the store offers.

A local SQLite file answers one query; a server has a bulk endpoint, one metric of up to 100 runs
and 25,000 points a call; any other store is asked run by run.
"""

import contextlib
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request_safe

from credit.tracking.database import read_only
from credit.tracking.rows import placeholders
from credit.tracking.store import is_http, sqlite_path

_BULK = "/ajax-api/2.0/mlflow/metrics/get-history-bulk"
_BULK_RUNS, _BULK_POINTS = 100, 25_000
COLUMNS = {"run_id": str, "key": str, "step": "int64", "value": "float64", "timestamp": "int64"}


def history(
    uri: str, client: MlflowClient, run_ids: Iterable[str], keys: Sequence[str] | None = None
) -> pd.DataFrame:
    """See `Reader.history`."""
    ids = list(dict.fromkeys(run_ids))
    path = sqlite_path(uri)
    rows = None
    if path:
        with contextlib.suppress(sqlite3.Error):  # the client knows every version's tables
            rows = _from_sqlite(path, ids, keys)
    if rows is None:
        if keys is None:
            keys = sorted({key for run_id in ids for key in client.get_run(run_id).data.metrics})
        ask = _bulk if is_http(uri) else _one_by_one
        rows = [row for key in dict.fromkeys(keys) for row in ask(uri, client, ids, key)]
    frame = pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)
    return frame.sort_values(["run_id", "key", "step", "timestamp"], ignore_index=True)


def _bulk(uri: str, client: MlflowClient, run_ids: list[str], key: str) -> list[tuple]:
    """One metric of many runs over HTTP; halves the runs where they do not fit one answer."""
    if len(run_ids) <= _BULK_RUNS:
        query = {"run_id": run_ids, "metric_key": key, "max_results": _BULK_POINTS}
        try:
            answer = http_request_safe(get_default_host_creds(uri), _BULK, "GET", params=query)
            points = answer.json()["metrics"]
        except (MlflowException, KeyError, ValueError):  # a server without this endpoint
            return _one_by_one(uri, client, run_ids, key)
        if len(points) < _BULK_POINTS:
            return [(p["run_id"], key, p["step"], p["value"], p["timestamp"]) for p in points]
    if len(run_ids) == 1:
        return _one_by_one(uri, client, run_ids, key)
    half = len(run_ids) // 2
    return _bulk(uri, client, run_ids[:half], key) + _bulk(uri, client, run_ids[half:], key)


def _one_by_one(_uri: str, client: MlflowClient, run_ids: list[str], key: str) -> list[tuple]:
    return [
        (run_id, key, point.step, point.value, point.timestamp)
        for run_id in run_ids
        for point in client.get_metric_history(run_id, key)
    ]


def _from_sqlite(path: Path, ids: list[str], keys: Sequence[str] | None) -> list[tuple]:
    query = (
        "SELECT run_uuid, key, step, CASE WHEN is_nan THEN NULL ELSE value END, timestamp "
        f"FROM metrics WHERE run_uuid IN ({placeholders(ids)})"
    )
    if keys is not None:
        query += f" AND key IN ({placeholders(keys)})"
    with read_only(path) as database:
        return database.execute(query, [*ids, *(keys or ())]).fetchall()
