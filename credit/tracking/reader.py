"""The only code that reads from MLflow: typed DataFrames, the same from SQLite and over HTTP."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from credit.errors import CreditError
from credit.spec import SCHEMA
from credit.tracking import marks, rows
from credit.tracking.history import history
from credit.tracking.rows import Row
from credit.tracking.store import AWAY, reach, shown, sqlite_path, tracking_uri

LAYERS = "diagnostics/layers"
"""A run's table of layers among its artifacts, without what comes after the dot."""


def connect(uri: str | None = None, experiment: str | None = None) -> "Reader":
    """A Reader of the store at `uri`, by default the one that `open_store` writes to.

    It reads one `experiment`; by default MLFLOW_EXPERIMENT_NAME, else all of them. Under `mlflow
    run` (MLFLOW_RUN_ID) and beside MLFLOW_EXPERIMENT_ID a name is no default.
    """
    uri = uri or tracking_uri()
    path = sqlite_path(uri)
    if path and not path.is_file():
        raise CreditError(
            f"no tracking store at {path}: run an experiment first, or set MLFLOW_TRACKING_URI"
        )
    client = reach(uri)
    by_id = "MLFLOW_RUN_ID" in os.environ or "MLFLOW_EXPERIMENT_ID" in os.environ
    name = experiment or (None if by_id else os.environ.get("MLFLOW_EXPERIMENT_NAME"))
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
        """One row per child run: those that a parent uses, or any of a kind ("ladder"), or all.

        `filter` has further clauses in MLflow's language, such as "params.rule = 'dfa'".

        Returns:
            Columns run_id, name, status, parent_id, spec_hash, reason, imported_from, started and
                ended (UTC), each RunSpec field as its own type (its default where the run is
                older), and the last value of each metric: nan where the last measurement had no
                valid value. A run with other values in its fields, which another program logged, is
                left out.
        """
        used = self.used(kind, parent, filter)
        # without a rule it is just being created
        return rows.table(r for r in used if marks.SPEC in r.tags and "rule" in r.params)

    def parents(self, kind: str | None = None) -> pd.DataFrame:
        """One row per parent run, newest first.

        Columns run_id, name, status, started, ended, kind, sweep_hash, note, and params, a
        dictionary: the options as the runs have them.
        """
        kept = self._parents(kind)
        return pd.DataFrame(
            {
                **rows.info(kept),
                "kind": [row.tags[marks.KIND] for row in kept],
                "sweep_hash": [row.tags.get(marks.SWEEP) for row in kept],
                "note": [row.tags.get(marks.NOTE) for row in kept],
                "params": [marks.settings(row.params) for row in kept],
            }
        )

    def newest(self, kind: str) -> str:
        """Return the id of the newest parent run of a kind."""
        found = self.parents(kind)
        if found.empty:
            raise CreditError(f"the tracking store has no {kind!r} experiment: run one first")
        return str(found["run_id"].iloc[0])

    def children(self, parent_id: str) -> list[str]:
        """Ids of the runs that a parent uses, oldest first."""
        return [row.run_id for row in reversed(self.used(parent=parent_id))]

    def run(self, run_id: str) -> Run:
        """MLflow's own record of a run."""
        try:
            return self.client.get_run(run_id)
        except MlflowException as error:
            raise CreditError(
                f"no run {run_id!r} in {shown(self.uri)}: list the ids with connect().runs()"
            ) from error

    def history(self, run_ids: Iterable[str], keys: Sequence[str] | None = None) -> pd.DataFrame:
        """Every logged value, of `keys` or all: run_id, key, step, value, timestamp (ms)."""
        return history(self.uri, self.client, run_ids, keys)

    def layers(self, run_id: str) -> pd.DataFrame:
        """Return a run's table of layers: their status, direction, norms and calibration."""
        return read_layers(self.artifact(run_id, f"{LAYERS}.csv"))

    def artifact(self, run_id: str, path: str) -> Path:
        """A local path to an artifact (file or folder), downloaded if it is on a server."""
        here = local_path(self.run(run_id).info.artifact_uri or "", path)
        if here and here.exists():  # on this machine: no copy
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

    def used(
        self, kind: str | None = None, parent: str | None = None, filter: str = ""
    ) -> list[Row]:
        """The runs that a parent uses, or any parent of a kind, or both; without either, all."""
        mark = {} if parent is None else marks.member_tag(self.run(parent).info.run_id)
        found = self._select({marks.SCHEMA_TAG: SCHEMA, **mark}, filter)
        if kind is None:
            return found
        of_kind = {row.run_id for row in self._parents(kind)}
        return [row for row in found if marks.sweeps_of(row.tags) & of_kind]

    def _parents(self, kind: str | None) -> list[Row]:
        tags = {marks.SCHEMA_TAG: SCHEMA} | ({marks.KIND: kind} if kind else {})
        return [row for row in self._select(tags) if marks.KIND in row.tags]

    def _select(self, tags: Mapping[str, str], filter: str = "") -> list[Row]:
        try:
            return rows.select(self.uri, self.client, self.experiments, tags, filter=filter)
        except MlflowException as error:
            what = f"filter {filter!r}" if filter else f"search in {shown(self.uri)}"
            raise CreditError(f"{what} failed: {error}") from error


def read_layers(path: Path) -> pd.DataFrame:
    """Return a run's table of layers; refuse what is none."""
    try:
        table = pd.read_csv(path)
    except (ValueError, OSError) as error:  # pandas' own are ValueErrors
        raise CreditError(f"{path} is no table: {error}") from error
    if "layer" not in table:
        raise CreditError(f"{path} has no column 'layer'")
    return table


def local_path(root: str, path: str) -> Path | None:
    """Where an artifact of a run lies or would lie, if that is a folder and not a server."""
    return Path(unquote(urlsplit(root).path)) / path if root.startswith("file:") else None
