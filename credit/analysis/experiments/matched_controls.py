"""Matched controls: is it the depth, the labels, the penalty, or the embedding?"""

import pandas as pd

from credit.analysis import controls, controls_checks, tables
from credit.analysis.controls_figure import controls_figure
from credit.analysis.results import Results
from credit.tracking.reader import Reader


def results(reader: Reader, runs: pd.DataFrame) -> Results:
    """Table, figure and verdicts by rule and control."""
    table = controls.controls(runs)
    title = f"Matched controls: {controls.describe(runs)}"
    return Results(
        title=f"{title}; {tables.seeds_text(table)}",
        table=table,
        wide=controls.controls_wide(table),
        figure=controls_figure(table, title),
        verdicts=controls_checks.verdicts(runs),
        notes=(controls.note(runs),),
    )
