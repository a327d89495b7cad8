"""Method comparison: what each rule's credit is worth in one deep network, and what it costs."""

import pandas as pd

from credit.analysis import comparison, comparison_checks, tables
from credit.analysis.comparison_figure import comparison_figure
from credit.analysis.results import Results
from credit.tracking.reader import Reader


def results(reader: Reader, runs: pd.DataFrame) -> Results:
    """Table by rule, Γ by hidden state, figure and verdicts."""
    timed, layers = comparison.load(reader, runs)
    table = comparison.comparison(timed, layers)
    wide = comparison.wide(table)
    title = f"Method comparison: {comparison.describe(timed)}"
    return Results(
        title=f"{title}; {tables.seeds_text(table)}",
        table=table,
        wide=wide,
        figure=comparison_figure(table, layers, title),
        verdicts=comparison_checks.verdicts(timed),
        notes=tuple(comparison.notes(timed)),
        more={"layers": layers},
        text=comparison.text(wide),
    )
