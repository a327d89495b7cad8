"""Credit scale: how much of fa's lead is its direction, how much its credit that shrinks?"""

import pandas as pd

from credit.analysis import credit_scale, credit_scale_checks, tables
from credit.analysis.credit_scale_figure import credit_scale_figure
from credit.analysis.results import Results
from credit.tracking.reader import Reader


def results(reader: Reader, runs: pd.DataFrame) -> Results:
    """Tables by setting and over epochs, figure and verdicts."""
    table = credit_scale.credit_scale(runs)
    points = credit_scale.courses(reader, runs)
    epochs = credit_scale.medians(points)
    title = f"Credit scale: {credit_scale.describe(runs)}"
    return Results(
        title=f"{title}; {tables.seeds_text(table)}",
        table=table,
        wide=credit_scale.credit_scale_wide(table),
        figure=credit_scale_figure(table, epochs, title),
        verdicts=credit_scale_checks.verdicts(runs, points),
        notes=tuple(credit_scale.sources(runs, table)),
        more={"epochs": epochs},
    )
