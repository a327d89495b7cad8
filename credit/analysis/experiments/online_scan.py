"""Online conditioning scan: learned credit while the network trains on it, beside dfa's."""

import pandas as pd

from credit.analysis import online, online_checks, online_staleness, tables
from credit.analysis.online_figure import online_figure
from credit.analysis.results import Results
from credit.tracking.reader import Reader


def results(reader: Reader, runs: pd.DataFrame) -> Results:
    """Tables by cell, of the best cell and of staleness, figure and verdicts."""
    history = reader.history(runs["run_id"], online_staleness.KEYS)
    runs = online_staleness.with_staleness(runs, history)
    table, stale, best = (
        online.table(runs),
        online_staleness.staleness(runs),
        online.best_table(runs),
    )
    title = f"Online conditioning scan: {online.describe(runs)}"
    return Results(
        title=f"{title}; {tables.seeds_text(table)}",
        table=table,
        wide=online.wide(table),
        figure=online_figure(table, stale, title),
        verdicts=online_checks.verdicts(runs),
        notes=(*online.notes(runs, best), "", online_staleness.wide(stale).to_string(index=False)),
        more={"best": best, "staleness": stale},
    )
