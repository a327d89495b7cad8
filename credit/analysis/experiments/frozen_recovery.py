"""Frozen recovery: what estimators learn of the credit in a network that stands still."""

import pandas as pd

from credit.analysis import appendix, cost, frozen, frozen_checks, tables
from credit.analysis.frozen_figure import frozen_figure
from credit.analysis.results import Results
from credit.analysis.selection import finished, pick
from credit.tracking.reader import Reader


def results(reader: Reader, runs: pd.DataFrame) -> Results:
    """Tables by arm and by layer, figure and verdicts, reported values beside ours."""
    runs = cost.with_costs(runs, reader.history(runs["run_id"], cost.KEYS))
    named = frozen.with_arms(runs)
    table, layers = frozen.table(runs), frozen.layers(runs)
    title = f"Frozen recovery: {frozen.describe(runs)}"
    verdicts = frozen_checks.verdicts(runs)
    compared = (table["reported_alignment"].notna() & (table["departures"] == "")).any()
    return Results(
        title=f"{title}; {tables.seeds_text(table)}",
        table=table,
        wide=frozen.wide(table),
        figure=frozen_figure(table, layers, title),
        verdicts=verdicts,
        notes=tuple(frozen.sources(table)),
        more={"layers": layers},
        beside={"Γ by hidden state, mean over seeds": frozen.wide_layers(layers)},
        question="Do estimators find the gradient of a network that stands still: is what they "
        "learn a direction, when nothing of the network moves?",
        setup=_setup(named),
        caption="Above: Γ, Γ below h_L and ρ by arm; below: Γ by hidden state, a panel per "
        f"network.{' Hollow: reported.' if compared else ''} {appendix.bars(table)}",
        findings=(
            *(
                appendix.ranking(
                    pick(table, network=network), ["arm"], "alignment", f"Γ, {network}"
                )
                for network in dict.fromkeys(table["network"])
            ),
            *appendix.findings("frozen_recovery", runs, verdicts),
        ),
        caveats=(
            "Γ of g_L passed back unchanged is a control of every arm: a direction that does not "
            "exceed it owes nothing to its estimator.",
        ),
        cells=finished(named),
        by=("network", "arm"),
    )


def _setup(named: pd.DataFrame) -> tuple[str, ...]:
    """References first, then what learns on them."""
    references = pick(named, arm=frozen.REFERENCE)
    still = named.loc[named["arm"] != frozen.REFERENCE]
    first = (
        (appendix.network(references), f"References: {appendix.training(references)}")
        if len(references)
        else ()
    )
    if still.empty:
        return first
    return (
        *first,
        "Each frozen run starts from the reference of its seed and shape and trains nothing of it: "
        "only its estimator learns.",
        f"Estimators: {appendix.training(still)}",
        *appendix.estimators(still),
        appendix.measured(still),
    )
