"""The only code that reads from MLflow: typed DataFrames, the same from SQLite and over HTTP."""

import json
import os
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from credit.errors import CreditError
from credit.spec import SCHEMA, RunSpec, field_types, parse_value
from credit.tracking.history import history
from credit.tracking.marks import (
    CHILDREN_FILE,
    IMPORTED_FROM,
    KIND,
    NOTE,
    PARENT,
    REASON,
    SCHEMA_TAG,
    SPEC,
    SWEEP,
    search,
)
from credit.tracking.store import AWAY, reach, shown, sqlite_path, tracking_uri


def connect(uri: str | None = None, experiment: str | None = None) -> "Reader":
    """A Reader of the store at `uri`, by default the one that `open_store` writes to.

    Args:
        experiment: read only this one; default MLFLOW_EXPERIMENT_NAME, else all of them.

    Raises:
        CreditError: the store does not answer or does not exist yet, or has no such experiment.
    """
    uri = uri or tracking_uri()
    path = sqlite_path(uri)
    if path and not path.is_file():
        raise CreditError(
            f"no tracking store at {path}: run an experiment first, or set MLFLOW_TRACKING_URI"
        )
    client = reach(uri)
    name = experiment or os.environ.get("MLFLOW_EXPERIMENT_NAME")
    if name is None:
        return Reader(uri, client, [e.experiment_id for e in client.search_experiments()])
    found = client.get_experiment_by_name(name)
    if found is None:
        known = ", ".join(e.name for e in client.search_experiments())
        raise CreditError(f"no experiment {name!r} in {shown(uri)}: choose from {known}")
    return Reader(uri, client, [found.experiment_id])


class Reader:
    """Queries over the runs of one store. It never writes."""

    def __init__(self, uri: str, client: MlflowClient, experiments: list[str]) -> None:
        self.uri = uri
        self.client = client
        self.experiments = experiments

    def runs(
        self, kind: str | None = None, parent: str | None = None, filter: str = ""
    ) -> pd.DataFrame:
        """One row per child run.

        Args:
            kind: only runs that a parent of this kind uses ("ladder").
            parent: only runs that this parent uses.
            filter: further clauses in MLflow's filter language, such as "params.rule = 'dfa'".

        Returns:
            Columns run_id, name, status, parent_id, spec_hash, reason, imported_from, start, end
            (UTC), each RunSpec field as its own type, and the last value of each metric: nan where
            the last measurement had no valid value, although an earlier one may have had. A field
            that did not exist when a run was made has its default, which is what was done then.
        """
        found = self._search({SCHEMA_TAG: SCHEMA}, filter)
        kept = [run for run in found if SPEC in run.data.tags]
        if parent is not None:
            wanted = set(self.children(parent))
            kept = [run for run in kept if run.info.run_id in wanted]
        if kind is not None:
            parents = self.parents(kind)["run_id"]
            wanted = {child for parent_id in parents for child in self.children(parent_id)}
            kept = [run for run in kept if run.info.run_id in wanted]
        types, defaults = field_types(), RunSpec().to_params()
        kept = [run for run in kept if "rule" in run.data.params]  # else it is just being created
        columns: dict[str, Any] = {
            **_info_columns(kept),
            "parent_id": [run.data.tags.get(PARENT) for run in kept],
            "spec_hash": [run.data.tags[SPEC] for run in kept],
            "reason": [run.data.tags.get(REASON) for run in kept],
            "imported_from": [run.data.tags.get(IMPORTED_FROM) for run in kept],
        }
        for name, type_ in types.items():
            values = [
                parse_value(name, type_, run.data.params.get(name, defaults[name])) for run in kept
            ]
            columns[name] = pd.Series(values, dtype=type_)
        current = [_current_metrics(run) for run in kept]
        for key in sorted({key for metrics in current for key in metrics}):
            columns[key] = [metrics.get(key, float("nan")) for metrics in current]
        return pd.DataFrame(columns)

    def parents(self, kind: str | None = None) -> pd.DataFrame:
        """One row per parent run, newest first.

        Returns:
            Columns run_id, name, status, start, end, kind, sweep_hash, note, and params, a
            dictionary of strings.
        """
        found = self._search({SCHEMA_TAG: SCHEMA} | ({KIND: kind} if kind else {}))
        kept = [run for run in found if KIND in run.data.tags]
        return pd.DataFrame(
            {
                **_info_columns(kept),
                "kind": [run.data.tags[KIND] for run in kept],
                "sweep_hash": [run.data.tags.get(SWEEP) for run in kept],
                "note": [run.data.tags.get(NOTE) for run in kept],
                "params": [dict(run.data.params) for run in kept],
            }
        )

    def children(self, parent_id: str) -> list[str]:
        """Ids of the runs that a parent uses.

        Those it names in `runs.json`, which may belong to other parents, and those nested under it.
        """
        self.run(parent_id)
        nested = [run.info.run_id for run in self._search({PARENT: parent_id})]
        if CHILDREN_FILE not in self._files(parent_id):
            return nested
        return list(
            dict.fromkeys([*read_children(self.artifact(parent_id, CHILDREN_FILE)), *nested])
        )

    def run(self, run_id: str) -> Run:
        """MLflow's own record of a run.

        Raises:
            CreditError: the store does not have it.
        """
        try:
            return self.client.get_run(run_id)
        except MlflowException as error:
            raise CreditError(
                f"no run {run_id!r} in {shown(self.uri)}: list the ids with connect().runs()"
            ) from error

    def history(self, run_ids: Iterable[str], keys: Sequence[str] | None = None) -> pd.DataFrame:
        """Every logged value of some runs: run_id, key, step, value, timestamp (ms), in that order.

        Args:
            keys: only these metrics, by exact name; None for all.
        """
        return history(self.uri, self.client, run_ids, keys)

    def artifact(self, run_id: str, path: str) -> Path:
        """A local path to an artifact (file or folder), downloaded if it is on a server.

        Raises:
            CreditError: the run or the artifact does not exist.
        """
        root = self.run(run_id).info.artifact_uri or ""
        if root.startswith("file:"):  # on this machine: no copy
            here = Path(unquote(urlsplit(root).path)) / path
            if here.exists():
                return here
        try:
            return Path(self.client.download_artifacts(run_id, path))
        except AWAY as error:
            names = ", ".join(self._files(run_id)) or "none"
            raise CreditError(f"run {run_id} has no artifact {path!r}: it has {names}") from error

    def _files(self, run_id: str) -> list[str]:
        try:
            return [file.path for file in self.client.list_artifacts(run_id)]
        except AWAY as error:
            raise CreditError(
                f"artifacts of run {run_id} cannot be reached from {shown(self.uri)}: "
                "set MLFLOW_TRACKING_URI to the server that holds them"
            ) from error

    def _search(self, tags: dict[str, str], filter: str = "") -> list[Run]:
        try:
            return list(search(self.client, self.experiments, tags, filter))
        except MlflowException as error:
            what = f"filter {filter!r}" if filter else f"search in {shown(self.uri)}"
            raise CreditError(f"{what} failed: {error}") from error


def read_children(path: Path) -> list[str]:
    """The run ids in a parent's `runs.json`."""
    try:
        return [str(run_id) for run_id in json.loads(path.read_text())["runs"]]
    except (ValueError, KeyError, TypeError) as error:
        raise CreditError(
            f'{path} is not {{"runs": [run ids]}}: run the experiment again'
        ) from error


def _current_metrics(run: Run) -> dict[str, float]:
    """A run's last values, without those that an epoch before its last measurement left behind.

    MLflow keeps the last value that was logged. A measurement that is no longer valid logs none, so
    that "last" would be a number from when it still was; `valid/reference` is in every measurement.
    """
    logged = run.data._metric_objs  # `run.data.metrics` has no steps
    measured = max((m.step for m in logged if m.key == "valid/reference"), default=0)
    return {m.key: m.value for m in logged if m.step >= measured}


def _info_columns(runs: list[Run]) -> dict[str, Any]:
    return {
        "run_id": pd.Series([run.info.run_id for run in runs], dtype=str),
        "name": [run.info.run_name for run in runs],
        "status": [run.info.status for run in runs],
        "start": [_time(run.info.start_time) for run in runs],
        "end": [_time(run.info.end_time) for run in runs],
    }


def _time(milliseconds: int | None) -> datetime | None:
    return datetime.fromtimestamp(milliseconds / 1000, UTC) if milliseconds else None
