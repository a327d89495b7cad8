"""Matched controls: is it the depth, the labels, the penalty, or the embedding?"""

import pandas as pd

from credit.analysis import appendix, controls, controls_checks, cost, tables
from credit.analysis.controls_figure import controls_figure
from credit.analysis.results import Results
from credit.analysis.selection import finished, pick
from credit.tracking.reader import Reader


def results(reader: Reader, runs: pd.DataFrame) -> Results:
    """Table, figure and verdicts by rule and control."""
    runs = cost.load(reader, runs)
    table = controls.controls(runs)
    title = f"Matched controls: {controls.describe(runs)}"
    named = controls.with_controls(runs)
    verdicts = controls_checks.verdicts(runs)
    return Results(
        title=f"{title}; {tables.seeds_text(table)}",
        table=table,
        wide=controls.controls_wide(table),
        figure=controls_figure(table, title),
        verdicts=verdicts,
        notes=(controls.note(runs),),
        question="What is a rule's accuracy worth beside networks that differ in one thing: a "
        "shallow one of as many parameters, random labels, a penalty, a frozen embedding?",
        setup=(
            *appendix.setup(runs),
            f"Controls: {', '.join(controls.ordered(named['control']))}; differences are to k=L of "
            "the same rule and seed.",
        ),
        caption="Test accuracy, train accuracy and the largest growth of the residual stream by "
        f"control, a colour per rule. {appendix.bars(table)}",
        findings=(
            *(
                appendix.ranking(
                    pick(table, control=control), ["rule"], "accuracy", f"test accuracy, {control}"
                )
                for control in controls.ordered(table["control"])
            ),
            *appendix.findings("matched_controls", runs, verdicts),
        ),
        cells=finished(named),
        by=("rule", "control"),
    )
