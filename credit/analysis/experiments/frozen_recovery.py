"""Frozen recovery: what estimators learn of the credit in a network that stands still."""

import pandas as pd

from credit.analysis import cost, frozen, frozen_checks, tables
from credit.analysis.frozen_figure import frozen_figure
from credit.analysis.results import Results
from credit.tracking.reader import Reader


def results(reader: Reader, runs: pd.DataFrame) -> Results:
    """Tables by arm and by layer, figure and verdicts, reported values beside ours."""
    runs = cost.with_costs(runs, reader.history(runs["run_id"], cost.KEYS))
    table, layers = frozen.table(runs), frozen.layers(runs)
    title = f"Frozen recovery: {frozen.describe(runs)}"
    return Results(
        title=f"{title}; {tables.seeds_text(table)}",
        table=table,
        wide=frozen.wide(table),
        figure=frozen_figure(table, layers, title),
        verdicts=frozen_checks.verdicts(runs),
        notes=(*frozen.sources(table), "", frozen.wide_layers(layers).to_string(index=False)),
        more={"layers": layers},
    )
