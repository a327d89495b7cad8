"""Nonlinearity ladder: direction by share of tanh and depth."""

import pandas as pd

from credit.analysis import appendix, nonlinearity, nonlinearity_checks
from credit.analysis.nonlinearity_figure import nonlinearity_figure
from credit.analysis.results import Results
from credit.analysis.selection import finished, pick
from credit.tracking.reader import Reader


def results(reader: Reader, runs: pd.DataFrame) -> Results:
    """Table, figure and verdicts, reported values beside ours."""
    table = nonlinearity.table(runs)
    title = f"Nonlinearity ladder: {nonlinearity.describe(runs)}"
    verdicts = nonlinearity_checks.verdicts(runs)
    done, compared = finished(runs), table["gamma_reported"].notna().any()
    return Results(
        title=f"{title}; {nonlinearity.seeds_text(table)}",
        table=table,
        wide=nonlinearity.wide(table, tuple(nonlinearity.QUANTITIES)),
        figure=nonlinearity_figure(table, title),
        verdicts=verdicts,
        notes=(nonlinearity.comparison(runs), nonlinearity.accuracy_note(table)),
        question="How does each rule's credit fare as the blocks bend (share of tanh α) and as "
        "their number L grows?",
        setup=appendix.setup(runs),
        caption="Γ, ρ and test accuracy against the number of blocks, a column per α, a line per "
        f"rule.{' Hollow: reported.' if compared else ''} "
        f"{appendix.bars(table.assign(n=table['seeds']))}",
        findings=(
            *(
                appendix.ranking(
                    pick(table, alpha=alpha, depth=depth),
                    ["rule"],
                    "gamma",
                    f"Γ at α={alpha:g}, L={depth}",
                )
                for alpha in sorted(table["alpha"].unique())
                for depth in sorted(pick(table, alpha=alpha)["depth"].unique())
            ),
            *appendix.findings("nonlinearity_ladder", runs, verdicts),
        ),
        cells=done.loc[done["k"] == done["depth"]],
        by=("rule", "alpha", "depth"),
    )
