"""Method comparison: what each rule's credit is worth in one deep network, and what it costs."""

import pandas as pd

from credit.analysis import appendix, comparison, comparison_checks, cost, tables
from credit.analysis.comparison_figure import comparison_figure
from credit.analysis.results import Results
from credit.analysis.selection import finished
from credit.tracking.reader import Reader


def results(reader: Reader, runs: pd.DataFrame) -> Results:
    """Table by rule, Γ by hidden state, figure and verdicts."""
    timed, layers = comparison.load(reader, runs)
    table = comparison.comparison(timed, layers)
    wide = comparison.wide(table)
    title = f"Method comparison: {comparison.describe(timed)}"
    verdicts = comparison_checks.verdicts(timed)
    return Results(
        title=f"{title}; {tables.seeds_text(table)}",
        table=table,
        wide=wide,
        figure=comparison_figure(table, layers, title),
        verdicts=verdicts,
        notes=tuple(comparison.notes(timed)),
        more={"layers": layers},
        text=comparison.text(wide),
        question="What is each rule's credit worth in one deep network, in accuracy and direction, "
        "and what does it cost?",
        setup=appendix.setup(timed),
        caption="Test accuracy by rule, test accuracy against FLOPs of a training step, and Γ by "
        f"hidden state; where Γ is not valid nothing is drawn. {appendix.bars(table)}",
        findings=(
            appendix.ranking(table, ["rule"], "accuracy", "test accuracy"),
            appendix.ranking(table, ["rule"], "alignment", "Γ"),
            appendix.ranking(
                table, ["rule"], "flops", "cost of a step", "none", lambda v: cost.si(v, "FLOP")
            ),
            *appendix.findings("method_comparison", timed, verdicts),
        ),
        cells=finished(timed),
        by=("rule",),
    )
