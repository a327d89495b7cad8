"""Depth scan: does a rule's accuracy rise, stay or fall as blocks are added?"""

import pandas as pd

from credit.analysis import answer as outcome
from credit.analysis import appendix, comparison, depth_scan, depth_scan_checks, tables
from credit.analysis.depth_scan_figure import depth_scan_figure
from credit.analysis.results import Results
from credit.analysis.selection import finished, pick
from credit.tracking.reader import Reader


def results(reader: Reader, runs: pd.DataFrame) -> Results:
    """Table by rule and depth, seconds by depth, figure and verdicts."""
    timed, layers = comparison.load(reader, runs)
    table = depth_scan.scan(timed, layers)
    wide = depth_scan.wide(table)
    title = f"Depth scan: {depth_scan.describe(timed)}"
    verdicts = depth_scan_checks.verdicts(timed)
    return Results(
        title=f"{title}; {tables.seeds_text(table)}",
        table=table,
        wide=wide,
        figure=depth_scan_figure(table, title),
        verdicts=verdicts,
        notes=tuple(comparison.notes(timed)),
        more={"layers": layers, "seconds": depth_scan.seconds(table)},
        text=comparison.text(wide),
        question="Does a rule's accuracy rise, stay or fall as residual blocks are added, all of "
        "them trained?",
        setup=appendix.setup(timed),
        caption="Test accuracy and Γ (mean over h_1 … h_L) against the number of blocks L, a line "
        f"per rule; where Γ is not valid nothing is drawn. {appendix.bars(table)}",
        findings=(
            *(
                appendix.ranking(
                    pick(table, depth=depth), ["rule"], "accuracy", f"accuracy at L={depth}"
                )
                for depth in sorted(table["depth"].unique())
            ),
            *appendix.findings("depth_scan", timed, verdicts),
        ),
        answer=outcome.trends(f"From L={table['depth'].min()} to {table['depth'].max()}", verdicts),
        cells=finished(timed),
        by=("rule", "depth"),
    )
