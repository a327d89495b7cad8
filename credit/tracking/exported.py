"""Runs read from an exported folder, in the same frames as from a tracking store."""

import json
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from credit.errors import CreditError
from credit.tracking import foreign
from credit.tracking.marks import KIND, PARENT, SPEC
from credit.tracking.rows import Row, table


class Export:
    """Queries over the runs of exported folders, as `Reader` answers them; each run counts once."""

    def __init__(self, *folders: Path | str) -> None:
        self.folders = [Path(folder) for folder in folders]
        self.records: dict[str, dict[str, Any]] = {}
        self._home: dict[str, Path] = {}
        for folder in self.folders:
            path = folder / foreign.RUNS
            if not path.is_file():
                raise CreditError(f"no export at {folder}: it has no {foreign.RUNS}")
            for run in json.loads(path.read_text())["runs"]:
                self.records.setdefault(run["run_id"], run)
                self._home[run["run_id"]] = folder

    def parents(self, kind: str) -> list[str]:
        """Return the ids of the parent runs of a kind, newest first."""
        own = [r for r in self.records.values() if r["tags"].get(KIND) == kind]
        return [r["run_id"] for r in sorted(own, key=lambda r: r["start"] or 0, reverse=True)]

    def children(self, parent: str) -> list[str]:
        found = [r["run_id"] for r in self.records.values() if parent in r["sweeps"]]
        if not found and parent not in self.records:
            raise CreditError(f"no run {parent} in {', '.join(map(str, self.folders))}")
        return found

    def runs(self, parent: str | None = None) -> pd.DataFrame:
        """Return one row per run of a parent, or of all, oldest first, as `Reader.runs` does."""
        every = [run_id for run_id, r in self.records.items() if SPEC in r["tags"]]
        found = map(self._row, every if parent is None else self.children(parent))
        return table(sorted(found, key=lambda row: (row.start or 0, row.run_id)))

    def history(self, run_ids: Iterable[str], keys: Sequence[str] | None = None) -> pd.DataFrame:
        own = self._metrics.loc[self._metrics["run_id"].isin(list(run_ids))]
        own = own if keys is None else own.loc[own["key"].isin(list(keys))]
        return own.sort_values(["run_id", "key", "step", "timestamp"], ignore_index=True)

    def layers(self, run_id: str) -> pd.DataFrame:
        """Return a run's table of layers."""
        if run_id not in self._layers:
            raise CreditError(f"run {run_id} has no table of layers in {self._home[run_id]}")
        return self._layers[run_id]

    def artifact(self, run_id: str, path: str) -> Path:
        folder = self._home.get(run_id, self.folders[0])
        found = folder / foreign.ARTIFACTS / run_id / path
        if not found.exists():
            raise CreditError(f"run {run_id} has no artifact {path!r} in {folder}")
        return found

    def _row(self, run_id: str) -> Row:
        run, latest = self.records[run_id], self._latest.get(run_id, {})
        tags = run["tags"] | ({PARENT: run["parent_id"]} if run["parent_id"] else {})
        times = run["start"], run["end"]
        return Row(run_id, run["name"], run["status"], *times, run["params"], tags, latest)

    @cached_property
    def _metrics(self) -> pd.DataFrame:
        found = [pd.read_parquet(folder / foreign.METRICS) for folder in self.folders]
        return pd.concat(found).drop_duplicates(["run_id", "key", "step", "timestamp"])

    @cached_property
    def _layers(self) -> dict[str, pd.DataFrame]:
        found = [foreign.read_layers(f / foreign.LAYERS, self.records) for f in self.folders]
        return {run_id: own for tables in found for run_id, own in tables.items()}

    @cached_property
    def _latest(self) -> dict[str, dict[str, tuple[float, int]]]:
        """Each run's last value of every metric, and its step."""
        found: dict[str, dict[str, tuple[float, int]]] = {}
        ordered = self._metrics.sort_values(["step", "timestamp"], kind="stable")
        last = ordered.drop_duplicates(["run_id", "key"], keep="last")
        columns = (last[name] for name in ("run_id", "key", "value", "step"))
        for run_id, key, value, step in zip(*columns, strict=True):
            found.setdefault(run_id, {})[key] = (value, step)
        return found


class Exports(Export):
    """All exports of a folder."""

    def __init__(self, folder: Path | str) -> None:
        paths = sorted(Path(folder).glob(f"*/{foreign.RUNS}"))
        if not paths:
            raise CreditError(f"no exports in {folder}: none of its folders has {foreign.RUNS}")
        super().__init__(*(path.parent for path in paths))

    def parents(self, kind: str) -> pd.DataFrame:
        """Return run_id and params of the parent runs of a kind, as `Reader.parents` does."""
        rows = [(run_id, self.records[run_id]["params"]) for run_id in super().parents(kind)]
        return pd.DataFrame(rows, columns=["run_id", "params"])
