"""Depth-utility ladder: does training more blocks raise accuracy?"""

import pandas as pd

from credit.analysis import figures, tables
from credit.analysis.results import Results
from credit.tracking.reader import Reader


def results(reader: Reader, runs: pd.DataFrame) -> Results:
    """Accuracy by rule and trainable blocks, and the audit's verdicts."""
    table = tables.ladder(runs)
    title = f"Depth-utility ladder: {tables.describe(runs)}"
    return Results(
        title=title,
        table=table,
        wide=tables.ladder_wide(table),
        figure=figures.ladder_figure(table, title),
        verdicts=tables.verdicts(runs),
        text=tables.ladder_text(table),
    )
