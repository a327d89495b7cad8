"""Direction quality: per-layer direction with and without the branch penalty."""

import pandas as pd

from credit.analysis import answer as outcome
from credit.analysis import appendix, figures, reduction, tables
from credit.analysis.results import Results
from credit.analysis.selection import finished
from credit.tracking.reader import Reader


def results(reader: Reader, runs: pd.DataFrame) -> Results:
    """Direction and scale per layer, and the verdict at the middle layer."""
    table = tables.direction(runs, tables.layer_tables(reader, runs))
    title = reduction.told(
        f"Direction of the credit: {tables.describe(runs)}", "direction_quality", runs
    )
    verdicts = tables.direction_verdicts(runs)
    done = finished(runs)
    return Results(
        title=title,
        table=table,
        wide=table,
        figure=figures.direction_figure(table, title),
        verdicts=verdicts,
        text=table.to_string(index=False, na_rep=""),
        question="Where does a rule's credit point, compared with the exact gradient, and is that "
        "gradient large enough to compare with, without and with the residual-branch penalty?",
        setup=(
            *appendix.setup(runs),
            f"Penalty on the residual branches: λ = {appendix.listed(runs, 'penalty')}.",
        ),
        caption="Left: alignment Γ of credit and exact gradient by layer; a cross is a raw cosine "
        "whose reference is not valid. Right: median norms per sample, with the floor below which "
        f"a gradient is rounding. {appendix.bars(table.assign(n=table['seeds']))}",
        findings=appendix.findings("direction_quality", runs, verdicts),
        caveats=_floor(table),
        answer=outcome.directions(verdicts),
        cells=done.loc[done["k"] == done["depth"]],
        by=("rule", "penalty"),
    )


def _floor(table: pd.DataFrame) -> tuple[str, ...]:
    """Where the raw cosine is no alignment."""
    bad = table.loc[(table["status"] != "ok") & (table["seeds"] > 0)]
    if bad.empty:
        return ()
    where = ", ".join(
        f"{rule} λ={penalty:g} at layer {', '.join(map(str, own['layer']))}"
        for (rule, penalty), own in bad.groupby(["rule", "penalty"], sort=False)
    )
    return (f"Raw cosines are not alignments where the status is not ok: {where}.",)
