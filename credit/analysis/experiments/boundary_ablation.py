"""Boundary ablation: the credit bridge's one-factor sweeps."""

import pandas as pd

from credit.analysis import boundary, boundary_checks, tables
from credit.analysis.boundary_figure import boundary_figure
from credit.analysis.results import Results
from credit.tracking.reader import Reader


def results(reader: Reader, runs: pd.DataFrame) -> Results:
    """Table, figure and verdicts of the sweeps, and what is in none of them."""
    table = boundary.boundary(runs)
    title = f"Boundary ablation: {boundary.describe(runs)}"
    return Results(
        title=f"{title}; {tables.seeds_text(table)}",
        table=table,
        wide=boundary.boundary_wide(table),
        figure=boundary_figure(table, title),
        verdicts=boundary_checks.verdicts(runs),
        notes=tuple(f"in no sweep, so not shown: {s}" for s in boundary.outside(runs)),
    )
