"""Credit scale: how much of fa's lead is its direction, how much its credit that shrinks?"""

import pandas as pd

from credit.analysis import appendix, cost, credit_scale, credit_scale_checks, tables
from credit.analysis.credit_scale_figure import credit_scale_figure
from credit.analysis.results import Results
from credit.analysis.selection import finished, in_order, pick
from credit.tracking.reader import Reader


def results(reader: Reader, runs: pd.DataFrame) -> Results:
    """Tables by setting and over epochs, figure and verdicts."""
    runs = cost.load(reader, runs)
    table = credit_scale.credit_scale(runs)
    points = credit_scale.courses(reader, runs)
    epochs = credit_scale.medians(points)
    title = f"Credit scale: {credit_scale.describe(runs)}"
    verdicts = credit_scale_checks.verdicts(runs, points)
    return Results(
        title=f"{title}; {tables.seeds_text(table)}",
        table=table,
        wide=credit_scale.credit_scale_wide(table),
        figure=credit_scale_figure(table, epochs, title),
        verdicts=verdicts,
        notes=tuple(credit_scale.sources(runs, table)),
        more={"epochs": epochs},
        question="How much of a rule's accuracy is the direction of its credit, and how much the "
        "size of it, which the ε of norm(v) = v / (rms(v) + ε) lets shrink?",
        setup=(
            *appendix.setup(runs),
            f"Varied: ε = {appendix.listed(runs, 'credit_eps')}, and whether the credit starts "
            "from the loss's mean or sum over the batch "
            f"({appendix.listed(runs, 'credit_reduction')}).",
        ),
        caption="Left: test accuracy against ε; right: median size of h_L over epochs, a panel per "
        f"rule; dashed: sum. {appendix.bars(table)}",
        findings=(
            *(
                appendix.ranking(
                    pick(table, rule=rule), ["reduction", "eps"], "accuracy", f"accuracy of {rule}"
                )
                for rule in in_order(table["rule"])
            ),
            *appendix.findings("credit_scale", runs, verdicts),
        ),
        cells=finished(runs),
        by=("rule", "credit_reduction", "credit_eps"),
    )
