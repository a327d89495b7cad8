"""Toy LQ: learned credit against the exact costate."""

import pandas as pd

from credit.analysis import appendix, tables, toy_lq_checks
from credit.analysis import toy_lq as lq
from credit.analysis.results import Results
from credit.analysis.selection import finished
from credit.analysis.toy_lq_figure import toy_lq_figure
from credit.tracking.reader import Reader


def results(reader: Reader, runs: pd.DataFrame) -> Results:
    """Tables by rule and by layer, figure and verdicts."""
    table, layers = lq.table(runs), lq.layers(runs)
    title = f"Toy LQ: {lq.describe(runs)}"
    verdicts = toy_lq_checks.verdicts(runs)
    return Results(
        title=f"{title}; {tables.seeds_text(table)}; reported: n/a",
        table=table,
        wide=lq.wide(table),
        figure=toy_lq_figure(layers, title),
        verdicts=verdicts,
        more={"layers": layers},
        beside={"Γ by hidden state, mean over seeds": lq.wide_layers(layers)},
        question="Do rules that learn their credit find the exact costate where it is known, in a "
        "linear system with quadratic cost?",
        setup=(
            "A linear system with quadratic cost, no network: "
            f"d = {appendix.listed(runs, 'width')} "
            f"units of state, L = {appendix.listed(runs, 'depth')} steps; each seed draws its own.",
            f"The estimators learn from {appendix.listed(runs, 'train_samples')} fresh "
            f"trajectories "
            f"per epoch in batches of {appendix.listed(runs, 'batch_size')}, for "
            f"{appendix.listed(runs, 'epochs')} epochs.",
            *appendix.estimators(runs),
            f"Measured against the costate of the adjoint recursion on "
            f"{appendix.listed(runs, 'measure_samples')} held-out trajectories, at the last epoch.",
        ),
        caption="Γ and ρ by hidden state, a line per rule. copy: the cost's gradient at h_L passed "
        "back unchanged; ceiling: the largest cosine within reach of a gradient through LayerNorm. "
        f"{appendix.bars(table)}",
        findings=(
            appendix.ranking(table, ["variant"], "alignment", "Γ"),
            *appendix.findings("toy_lq", runs, verdicts),
        ),
        caveats=("A linear system says nothing of what a bent one does to the estimators.",),
        cells=finished(lq.with_variants(runs), lq.HAVING),
        by=("variant",),
    )
