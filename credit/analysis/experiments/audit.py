"""Audit of one rule: the whole protocol, and its verdicts with their reasons."""

import pandas as pd

from credit.analysis import (
    appendix,
    controls,
    protocol,
    protocol_checks,
    protocol_text,
    reduction,
    tables,
)
from credit.analysis.protocol_figure import audit_figure
from credit.analysis.results import Results
from credit.analysis.selection import finished, metric, pick
from credit.tracking.reader import Reader

VERDICTS_IN_TEXT = True
"""The text in the terminal has every verdict: they are not listed a second time."""


def results(reader: Reader, runs: pd.DataFrame) -> Results:
    """The ladder, the direction by layer, the controls, and a verdict for every check."""
    who = protocol.subject(reader, runs)
    pair = protocol.full_and_penalised(runs, who.rule)
    layers = tables.layer_tables(reader, pair)
    ladder = tables.ladder(protocol.rungs(runs))
    direction = _with_copies(tables.direction(pair, layers), pair)
    verdicts = protocol_checks.checks(runs, who, layers)
    settings = _settings(runs)
    title = f"Audit of {who.label}: {tables.describe(protocol.rungs(runs))}"
    title += "" if settings == reduction.PUBLISHED else f"; {settings}"
    return Results(
        title=f"{title}; {tables.seeds_text(ladder)}",
        table=controls.controls(runs).assign(settings=settings),
        wide=protocol_text.table(verdicts),
        figure=audit_figure(ladder, direction, title),
        verdicts=verdicts,
        more={"ladder": ladder, "layers": direction},
        text=protocol_text.report(
            verdicts,
            tables.ladder_text(ladder),
            protocol.run_ids(runs, who.rule),
        ),
        question=f"Does {who.label} train depth: is its scale stable, is there a gradient to "
        "compare with, does its credit point along it, and does accuracy rise with every block?",
        setup=appendix.setup(runs),
        caption="Left: test accuracy against the number of trainable blocks k, beside bp and the "
        "oracle. Right: Γ by hidden state with every block trained, with and without the branch "
        f"penalty, beside g_L passed back unchanged. {appendix.bars(ladder)}",
        findings=(f"{protocol_text.summary(who.rule, verdicts)}.", *appendix.tally(verdicts)),
        answer=f"{protocol_text.summary(who.rule, verdicts)}.",
        cells=finished(controls.with_controls(runs)),
        by=("rule", "control"),
    )


def _settings(runs: pd.DataFrame) -> str:
    """In what the runs are less than the published ladder, whose other rules are not asked for."""
    found = reduction.differences("ladder", protocol.rungs(runs))
    return reduction.words([one for one in found if not one.part])


def _with_copies(direction: pd.DataFrame, pair: pd.DataFrame) -> pd.DataFrame:
    """Γ of g_L passed back unchanged beside every layer's Γ, of the same runs."""
    done = finished(pair)
    copies = [
        pd.Series(
            metric(pick(done, penalty=row.penalty), f"copy/h{row.layer:02d}"), dtype=float
        ).mean()
        for row in direction.itertuples()
    ]
    return direction.assign(copy=copies)
