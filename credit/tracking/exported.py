"""Runs read from an exported folder, in the same frames as from a tracking store."""

import json
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from credit.errors import CreditError
from credit.spec import RunSpec, field_types, parse_value
from credit.tracking import layers
from credit.tracking.foreign import LAYERS, read_layers

VALID = "valid/reference"


class Export:
    """Queries over the runs of one exported folder, as `Reader` answers them."""

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        path = self.folder / "runs.json"
        if not path.is_file():
            raise CreditError(f"no export at {self.folder}: it has no runs.json")
        self._records = {run["run_id"]: run for run in json.loads(path.read_text())["runs"]}

    def parents(self, kind: str) -> list[str]:
        """Return the ids of the parent runs of a kind, newest first."""
        own = [r for r in self._records.values() if r["tags"].get("credit.kind") == kind]
        return [r["run_id"] for r in sorted(own, key=lambda r: r["start"] or 0, reverse=True)]

    def children(self, parent: str) -> list[str]:
        """Return the ids of the runs that a parent uses."""
        named = json.loads(self.artifact(parent, "runs.json").read_text())["runs"]
        nested = [r["run_id"] for r in self._records.values() if r["parent_id"] == parent]
        return [i for i in dict.fromkeys([*map(str, named), *nested]) if i in self._records]

    def runs(self, parent: str) -> pd.DataFrame:
        """Return one row per run of a parent: typed settings, last value of every metric.

        A metric whose last measurement had no valid value is nan.
        """
        kept = [self._records[run_id] for run_id in self.children(parent)]
        kept.sort(key=lambda record: (record["start"] or 0, record["run_id"]))
        types, defaults = field_types(), RunSpec().to_params()
        columns: dict[str, Any] = {
            "run_id": [r["run_id"] for r in kept],
            "name": [r["name"] for r in kept],
            "status": [r["status"] for r in kept],
            "started": pd.to_datetime([r["start"] for r in kept], unit="ms", utc=True),
            "ended": pd.to_datetime([r["end"] for r in kept], unit="ms", utc=True),
            "parent_id": [r["parent_id"] for r in kept],
            "spec_hash": [r["tags"].get("credit.spec_hash") for r in kept],
            "reason": [r["tags"].get("credit.reason") for r in kept],
        }
        for name, kind in types.items():
            given = [r["params"].get(name, defaults[name]) for r in kept]
            columns[name] = pd.Series([parse_value(name, kind, v) for v in given], dtype=kind)
        frame = pd.DataFrame(columns)
        last = self._last.reindex(frame["run_id"])
        return pd.concat([frame, last.reset_index(drop=True)], axis=1)

    def history(self, run_ids: Iterable[str], keys: Sequence[str] | None = None) -> pd.DataFrame:
        """Return every logged value: run_id, key, step, value, timestamp, in that order."""
        own = self._metrics.loc[self._metrics["run_id"].isin(list(run_ids))]
        own = own if keys is None else own.loc[own["key"].isin(list(keys))]
        order = ["run_id", "key", "step", "timestamp"]
        return own.sort_values(order, ignore_index=True)

    def layers(self, run_id: str) -> pd.DataFrame:
        """Return a run's table of layers: of `layers.parquet`, or of a file of its own."""
        if run_id in self._layers:
            return self._layers[run_id]
        return layers.read_table(self.artifact(run_id, f"{layers.TABLE}.csv"))

    def artifact(self, run_id: str, path: str) -> Path:
        """Return the path of an artifact of a run."""
        found = self.folder / "artifacts" / run_id / path
        if not found.exists():
            raise CreditError(f"run {run_id} has no artifact {path!r} in {self.folder}")
        return found

    @cached_property
    def _metrics(self) -> pd.DataFrame:
        return pd.read_parquet(self.folder / "metrics.parquet")

    @cached_property
    def _layers(self) -> dict[str, pd.DataFrame]:
        return read_layers(self.folder / LAYERS, self._records.keys())

    @cached_property
    def _last(self) -> pd.DataFrame:
        ordered = self._metrics.sort_values(["step", "timestamp"], kind="stable")
        last = ordered.drop_duplicates(["run_id", "key"], keep="last")
        measured = last.loc[last["key"] == VALID].set_index("run_id")["step"]
        since = last["run_id"].map(measured).fillna(0)
        current = last.loc[last["step"] >= since]
        return current.pivot(index="run_id", columns="key", values="value")
