"""Tables of layers: one a run in a tracking store, one of all runs in an export."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from credit.errors import CreditError

TABLE = "diagnostics/layers"
"""Its name among a run's artifacts, without what comes after the dot."""


def read_table(path: Path) -> pd.DataFrame:
    """Return a run's table of layers.

    Raises:
        CreditError: it is no such table.
    """
    try:
        table = pd.read_csv(path)
    except (ValueError, OSError) as error:  # pandas' own are ValueErrors
        raise CreditError(f"{path} is no table: {error}") from error
    if "layer" not in table:
        raise CreditError(f"{path} has no column 'layer'")
    return table


def write_all(tables: Mapping[str, pd.DataFrame], path: Path) -> None:
    """Write the tables of runs, by run id, as one; none where no run has any."""
    path.unlink(missing_ok=True)
    if not tables:
        return
    table = pd.concat([own.assign(run_id=run_id) for run_id, own in sorted(tables.items())])
    mixed = [name for name in table if table[name].dtype == object]  # numbers, and words in another
    first = ["run_id", "layer"]
    table = table[[*first, *table.columns.drop(first)]].astype(dict.fromkeys(mixed, "string"))
    table.to_parquet(path, compression="zstd", index=False)
