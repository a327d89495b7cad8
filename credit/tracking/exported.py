"""Runs read from an exported folder, in the same frames as from a tracking store."""

import json
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from credit.errors import CreditError
from credit.tracking import foreign, layers
from credit.tracking.marks import CHILDREN_FILE, KIND, PARENT, SPEC
from credit.tracking.rows import Row, table


class Export:
    """Queries over the runs of one exported folder, as `Reader` answers them."""

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        path = self.folder / foreign.RUNS
        if not path.is_file():
            raise CreditError(f"no export at {self.folder}: it has no {foreign.RUNS}")
        self._records = {run["run_id"]: run for run in json.loads(path.read_text())["runs"]}

    def parents(self, kind: str) -> list[str]:
        """Return the ids of the parent runs of a kind, newest first."""
        own = [r for r in self._records.values() if r["tags"].get(KIND) == kind]
        return [r["run_id"] for r in sorted(own, key=lambda r: r["start"] or 0, reverse=True)]

    def children(self, parent: str) -> list[str]:
        named = json.loads(self.artifact(parent, CHILDREN_FILE).read_text())["runs"]
        nested = [r["run_id"] for r in self._records.values() if r["parent_id"] == parent]
        return [i for i in dict.fromkeys([*map(str, named), *nested]) if i in self._records]

    @property
    def records(self) -> list[dict[str, Any]]:
        """The runs as `runs.json` has them: name, params, tags, status and times."""
        return [*self._records.values()]

    def runs(self, parent: str | None = None) -> pd.DataFrame:
        """Return one row per run of a parent, or of all, oldest first, as `Reader.runs` does."""
        every = [r["run_id"] for r in self.records if SPEC in r["tags"]]
        found = map(self._row, every if parent is None else self.children(parent))
        return table(sorted(found, key=lambda row: (row.start or 0, row.run_id)))

    def history(self, run_ids: Iterable[str], keys: Sequence[str] | None = None) -> pd.DataFrame:
        own = self._metrics.loc[self._metrics["run_id"].isin(list(run_ids))]
        own = own if keys is None else own.loc[own["key"].isin(list(keys))]
        return own.sort_values(["run_id", "key", "step", "timestamp"], ignore_index=True)

    def layers(self, run_id: str) -> pd.DataFrame:
        """Return a run's table of layers: of `layers.parquet`, or of a file of its own."""
        if run_id in self._layers:
            return self._layers[run_id]
        return layers.read_table(self.artifact(run_id, f"{layers.TABLE}.csv"))

    def artifact(self, run_id: str, path: str) -> Path:
        found = self.folder / foreign.ARTIFACTS / run_id / path
        if not found.exists():
            raise CreditError(f"run {run_id} has no artifact {path!r} in {self.folder}")
        return found

    def _row(self, run_id: str) -> Row:
        run, latest = self._records[run_id], self._latest.get(run_id, {})
        tags = run["tags"] | ({PARENT: run["parent_id"]} if run["parent_id"] else {})
        times = run["start"], run["end"]
        return Row(run_id, run["name"], run["status"], *times, "", run["params"], tags, latest)

    @cached_property
    def _metrics(self) -> pd.DataFrame:
        return pd.read_parquet(self.folder / foreign.METRICS)

    @cached_property
    def _layers(self) -> dict[str, pd.DataFrame]:
        return foreign.read_layers(self.folder / foreign.LAYERS, self._records.keys())

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


class Exports:
    """Queries over all exports of a folder; a run that several of them hold is one run."""

    def __init__(self, folder: Path | str) -> None:
        paths = sorted(Path(folder).glob(f"*/{foreign.RUNS}"))
        if not paths:
            raise CreditError(f"no exports in {folder}: none of its folders has {foreign.RUNS}")
        self.parts = [Export(path.parent) for path in paths]
        self._of = {r["run_id"]: part for part in self.parts for r in part.records}

    def runs(self) -> pd.DataFrame:
        """Return one row per run, as `Reader.runs` does."""
        found = [part.runs() for part in self.parts]
        whole = pd.concat([one for one in found if len(one)], ignore_index=True)
        return whole.drop_duplicates("run_id", ignore_index=True)

    def parents(self, kind: str) -> pd.DataFrame:
        """Return run_id and params of the parent runs of a kind."""
        own = [r for part in self.parts for r in part.records if r["tags"].get(KIND) == kind]
        rows = [(record["run_id"], record["params"]) for record in own]
        return pd.DataFrame(rows, columns=["run_id", "params"])

    def history(self, run_ids: Iterable[str], keys: Sequence[str] | None = None) -> pd.DataFrame:
        asked = list(run_ids)
        found = [part.history(asked, keys) for part in self.parts]
        return pd.concat([one for one in found if len(one)] or found).drop_duplicates(
            ["run_id", "key", "step", "timestamp"], ignore_index=True
        )

    def layers(self, run_id: str) -> pd.DataFrame:
        return self._of[run_id].layers(run_id)

    def artifact(self, run_id: str, path: str) -> Path:
        return self._of[run_id].artifact(run_id, path)
