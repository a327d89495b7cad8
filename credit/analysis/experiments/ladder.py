"""Depth-utility ladder: does training more blocks raise accuracy?"""

import pandas as pd

from credit.analysis import answer as outcome
from credit.analysis import appendix, figures, reduction, tables
from credit.analysis.results import Results
from credit.analysis.selection import finished, in_order, pick
from credit.tracking.reader import Reader


def results(reader: Reader, runs: pd.DataFrame) -> Results:
    """Accuracy by rule and trainable blocks, and the audit's verdicts."""
    table = tables.ladder(runs)
    title = reduction.told(f"Depth-utility ladder: {tables.describe(runs)}", "ladder", runs)
    verdicts = tables.verdicts(runs)
    known = table["reported_mean"].notna().any()
    hollow = " Hollow: reported by the experiment's authors." if known else ""
    return Results(
        title=title,
        table=table,
        wide=tables.ladder_wide(table),
        figure=figures.ladder_figure(table, title),
        verdicts=verdicts,
        text=tables.ladder_text(table),
        question="Does a credit rule use the depth it trains: does accuracy rise as the last "
        "k = 0 … L residual blocks are trained?",
        setup=appendix.setup(runs),
        caption="Test accuracy at the last epoch against the number of trainable blocks k, a line "
        f"per rule.{hollow} {appendix.bars(table)}",
        findings=(
            *_rungs(table),
            *tables.agreement(table).splitlines(),
            *appendix.findings("ladder", runs, verdicts),
        ),
        answer=outcome.trends("From no to all blocks trained", verdicts),
        cells=finished(runs),
        by=("rule", "k"),
    )


def _rungs(table: pd.DataFrame) -> list[str]:
    """Each rule's best rung."""
    lines = []
    for rule in in_order(table["rule"]):
        own = pick(table, rule=rule).dropna(subset=["mean"])
        if len(own) > 1:
            best, last = own.loc[own["mean"].idxmax()], own.iloc[-1]
            text = f"{rule} is best at k={best['k']} ({best['mean']:.3f})"
            if best["k"] != last["k"]:
                points = 100 * (last["mean"] - best["mean"])
                text += f"; at k={last['k']} it is {points:+.1f} points from that"
            lines.append(f"{text}.")
    return lines
