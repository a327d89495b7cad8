"""Nonlinearity ladder: direction by share of tanh and depth."""

import pandas as pd

from credit.analysis import nonlinearity, nonlinearity_checks
from credit.analysis.nonlinearity_figure import nonlinearity_figure
from credit.analysis.results import Results
from credit.tracking.reader import Reader


def results(reader: Reader, runs: pd.DataFrame) -> Results:
    """Table, figure and verdicts, reported values beside ours."""
    table = nonlinearity.table(runs)
    title = f"Nonlinearity ladder: {nonlinearity.describe(runs)}"
    return Results(
        title=f"{title}; {nonlinearity.seeds_text(table)}",
        table=table,
        wide=nonlinearity.wide(table, tuple(nonlinearity.QUANTITIES)),
        figure=nonlinearity_figure(table, title),
        verdicts=nonlinearity_checks.verdicts(runs),
        notes=(nonlinearity.comparison(runs), nonlinearity.accuracy_note(table)),
    )
