"""Direction quality: per-layer direction with and without the branch penalty."""

import pandas as pd

from credit.analysis import figures, tables
from credit.analysis.results import Results
from credit.tracking.reader import Reader


def results(reader: Reader, runs: pd.DataFrame) -> Results:
    """Direction and scale per layer, and the verdict at the middle layer."""
    table = tables.direction(runs, tables.layer_tables(reader, runs))
    title = f"Direction of the credit: {tables.describe(runs)}"
    return Results(
        title=title,
        table=table,
        wide=table,
        figure=figures.direction_figure(table, title),
        verdicts=tables.direction_verdicts(runs),
        text=table.to_string(index=False, na_rep=""),
    )
