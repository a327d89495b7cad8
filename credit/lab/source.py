"""Where finished runs are read from: a tracking store, or an exported folder."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

import pandas as pd


class Source(Protocol):
    """Reads runs, their histories and artifacts; `credit.tracking.reader.Reader` is one."""

    def history(self, run_ids: Iterable[str], keys: Sequence[str] | None = None) -> pd.DataFrame:
        """Return every logged value: run_id, key, step, value, timestamp."""
        ...

    def layers(self, run_id: str) -> pd.DataFrame:
        """Return a run's table of layers: their status, direction, norms and calibration."""
        ...

    def artifact(self, run_id: str, path: str) -> Path:
        """Return a local path to an artifact of a run."""
        ...
