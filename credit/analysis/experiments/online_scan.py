"""Online conditioning scan: learned credit while the network trains on it, beside dfa's."""

import pandas as pd

from credit.analysis import appendix, online, online_checks, online_staleness, tables
from credit.analysis.online_figure import online_figure
from credit.analysis.results import Results
from credit.analysis.selection import finished
from credit.tracking.reader import Reader


def results(reader: Reader, runs: pd.DataFrame) -> Results:
    """Tables by cell, of the best cell and of staleness, figure and verdicts."""
    runs = online_staleness.load(reader, runs)
    table, stale, best = (
        online.table(runs),
        online_staleness.staleness(runs),
        online.best_table(runs),
    )
    title = f"Online conditioning scan: {online.describe(runs)}"
    verdicts = online_checks.verdicts(runs)
    beside = {
        "The best cell, on all seeds and on those that did and did not choose it": (
            online.wide_best(best)
        ),
        "Γ of an estimator that no longer learns, by how long ago": online_staleness.wide(stale),
    }
    return Results(
        title=f"{title}; {tables.seeds_text(table)}",
        table=table,
        wide=online.wide(table),
        figure=online_figure(table, stale, title),
        verdicts=verdicts,
        notes=tuple(note for note in online.notes(runs, best) if "\n" not in note),
        more={"best": best, "staleness": stale},
        beside={name: own for name, own in beside.items() if len(own)},
        question="Which estimator keeps up with a network that trains on its credit, and is that "
        "credit ahead of dfa's of the same seed?",
        setup=appendix.setup(runs),
        caption="Leads over dfa of the same seed in Γ, ρ and accuracy by warm-up, a line per arm; "
        f"last: Γ of an estimator as the network moves away from it. {appendix.bars(table)}",
        findings=(
            appendix.ranking(table, ["cell"], "alignment", "Γ"),
            appendix.ranking(table, ["cell"], "accuracy", "test accuracy"),
            *appendix.findings("online_scan", runs, verdicts),
        ),
        caveats=_selection(best),
        cells=finished(online.with_cells(runs)),
        by=("cell",),
    )


def _selection(best: pd.DataFrame) -> tuple[str, ...]:
    """What the choice of a cell does to its numbers."""
    if best.empty:
        return ()
    return (
        f"Selection: {best['cell'].iloc[0]} was chosen for {best['how'].iloc[0]}, which is "
        "measured on test samples. On the seeds that chose it its leads are biased upwards: read "
        "those of the other seeds.",
    )
