"""Toy LQ: learned credit against the exact costate."""

import pandas as pd

from credit.analysis import tables, toy_lq_checks
from credit.analysis import toy_lq as lq
from credit.analysis.results import Results
from credit.analysis.toy_lq_figure import toy_lq_figure
from credit.tracking.reader import Reader


def results(reader: Reader, runs: pd.DataFrame) -> Results:
    """Tables by rule and by layer, figure and verdicts."""
    table, layers = lq.table(runs), lq.layers(runs)
    title = f"Toy LQ: {lq.describe(runs)}"
    return Results(
        title=f"{title}; {tables.seeds_text(table)}; reported: n/a",
        table=table,
        wide=lq.wide(table),
        figure=toy_lq_figure(layers, title),
        verdicts=toy_lq_checks.verdicts(runs),
        notes=(lq.wide_layers(layers).to_string(index=False),),
        more={"layers": layers},
    )
