"""Boundary ablation: the credit bridge's one-factor sweeps."""

import pandas as pd

from credit.analysis import answer as outcome
from credit.analysis import appendix, boundary, boundary_checks, tables
from credit.analysis.boundary_figure import boundary_figure
from credit.analysis.results import Results
from credit.analysis.selection import finished
from credit.tracking.reader import Reader


def results(reader: Reader, runs: pd.DataFrame) -> Results:
    """Table, figure and verdicts of the sweeps, and what is in none of them."""
    table = boundary.boundary(runs)
    title = f"Boundary ablation: {boundary.describe(runs)}"
    verdicts = boundary_checks.verdicts(runs)
    shown = table.drop_duplicates(["sweep", "value"])
    return Results(
        title=f"{title}; {tables.seeds_text(table)}",
        table=table,
        wide=boundary.boundary_wide(table),
        figure=boundary_figure(table, title),
        verdicts=verdicts,
        notes=tuple(f"in no sweep, so not shown: {s}" for s in boundary.outside(runs)),
        question="What must a credit bridge be told of the output error, and how must it be tied "
        "to the output, for its credit to point along the gradient?",
        setup=(
            *appendix.setup(runs),
            f"One factor at a time around {boundary.base_of(runs)}: "
            f"{', '.join(sweep.name for sweep in boundary.sweeps_of(runs))}.",
        ),
        caption="Above: Γ and ρ, means over h_1 … h_L; below: test accuracy; a column per sweep, "
        f"the base setting shaded. {appendix.bars(table)}",
        findings=(
            *(
                appendix.ranking(own, ["value"], "alignment", f"Γ over {name}")
                for name, own in shown.groupby("sweep", sort=False)
            ),
            *appendix.findings("boundary_ablation", runs, verdicts),
        ),
        caveats=("Sweeps change one factor: how two of them act together was not run.",),
        answer=outcome.boundary(verdicts),
        cells=finished(runs),
        by=("code", "tgw", "warmup_ratio"),
    )
