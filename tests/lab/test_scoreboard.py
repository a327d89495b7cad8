"""Scores of reported numbers: what counts as ours, and how near it must be."""

import math
from typing import cast

import pandas as pd
import pytest

from credit.lab import AUTHORS, Experiment, Factor, Frame, Reported, Span
from credit.lab import quantities as q
from credit.lab.looks import RULES
from credit.lab.scoreboard import (
    DEVIATES,
    NOT_RUN,
    REPRODUCED,
    Score,
    board,
    missing,
    of_specs,
    scores,
    totals,
)
from credit.lab.source import Source
from credit.spec import RunSpec
from tests.lab.made import made

ACCURACY = {"accuracy/test": 0.6}
SPECS = [RunSpec(rule=rule, k=4, seed=seed) for rule in ("bp", "fa") for seed in (1, 2)]


def experiment(*reported: Reported, kind: str = "one") -> Experiment:
    return Experiment(
        kind=kind,
        title="",
        question="",
        factors=(RULES, Factor("k")),
        presets={},
        grid=lambda _: SPECS,
        columns=(q.ACCURACY,),
        checks=lambda _: [],
        reported=reported,
    )


def reported(values, quantity=q.ACCURACY, **more) -> Reported:
    return Reported(AUTHORS, quantity, ("rule", "k"), {("fa", 4): values}, **more)


NOTHING = cast(Source, None)
"""Nothing is read here but the runs themselves."""


def judged(ours: float, one: Reported, rule: str = "fa") -> tuple[str, float]:
    (value,) = one.values.values()
    quantity = one.measure or one.quantity
    score = Score("one", "", one, quantity, value, rule, ours, math.nan, 3, "", 0.0, (), ())
    return score.status, score.judged[0]


@pytest.mark.parametrize(
    ("ours", "one", "status"),
    [
        (0.415, reported((0.400, 0.001)), REPRODUCED),
        (0.416, reported((0.400, 0.050)), DEVIATES),  # an accuracy has 1.5 points, whatever the sd
        (0.549, reported(0.50, q.GAMMA), REPRODUCED),
        (0.551, reported(0.50, q.GAMMA), DEVIATES),
        (0.551, reported((0.50, 0.04), q.GAMMA), REPRODUCED),  # twice the sd
        (2.9e5, reported(1e5, q.HIDDEN, rough=True), REPRODUCED),
        (3.1e5, reported(1e5, q.HIDDEN, rough=True), DEVIATES),
        (1e-3, reported(-1e-3, q.NUDGE, rough=True), DEVIATES),  # another sign
        (0.04, reported(0.0, q.NUDGE, rough=True), REPRODUCED),  # of 0 there is no factor
        (11.0, reported(11.0, q.GROWTH, bound="≤"), REPRODUCED),
        (11.1, reported(11.0, q.GROWTH, bound="≤"), DEVIATES),
        (900.0, reported(694.0, q.GROWTH, bound="≥"), REPRODUCED),
        (math.nan, reported(0.4), NOT_RUN),
        (math.nan, reported(11.0, q.GROWTH, bound="≤"), NOT_RUN),
    ],
)
def test_a_number_is_judged_by_the_rule(ours, one, status):
    assert judged(ours, one)[0] == status


def test_bp_is_asked_for_more_and_a_range_for_its_nearest_end():
    assert judged(0.612, reported(0.600), "bp")[0] == DEVIATES
    assert judged(0.612, reported(0.600), "fa")[0] == REPRODUCED
    span = reported(Span(0.2, 0.3), q.RHO)
    assert judged(0.25, span) == (REPRODUCED, 0) and judged(0.34, span) == (REPRODUCED, 0.04)
    assert judged(0.14, span) == (DEVIATES, -0.06)


def test_only_runs_of_the_configuration_count():
    common = {"k": 4, **ACCURACY}
    runs = made(
        {"rule": "fa", "seed": 1},
        {"rule": "fa", "seed": 1, "measure_every": 1, "started": 99},  # the same run, later
        {"rule": "fa", "seed": 77},  # any seed will do
        {"rule": "fa", "seed": 2, "epochs": 20},  # reduced
        {"rule": "fa", "seed": 2, "train_samples": 5000},
        {"rule": "fa", "seed": 2, "status": "FAILED"},
        {"rule": "dfa", "seed": 1},  # none of the specs
        **common,
    )
    own = of_specs(runs, SPECS)
    assert own["run_id"].tolist() == ["run2", "run1"]
    assert [spec.seed for spec in missing(own, SPECS) if spec.rule == "fa"] == [2]


def test_a_run_that_starts_from_another_network_counts_where_that_one_does():
    bp = {"rule": "bp", "k": 4, "seed": 1, **ACCURACY}
    whole, reduced = made(bp), made({**bp, "epochs": 20})
    arm = {"rule": "dfa", "k": 0, "seed": 1, "epochs": 5, **ACCURACY}
    specs = [SPECS[0], RunSpec(rule="dfa", k=0, seed=1, epochs=5, start="0" * 16)]
    for reference, counted in ((whole, 2), (reduced, 0)):
        runs = pd.concat([reference, made({**arm, "start": reference["spec_hash"][0]})])
        assert len(of_specs(runs.reset_index(drop=True), specs)) == counted


def test_scores_have_our_numbers_their_runs_and_the_hours_of_what_is_missing():
    one = experiment(
        reported((0.402, 0.009)),
        reported(3.0, q.GROWTH, absent="no experiment measures it"),
        Reported("measured by somebody else", q.ACCURACY, ("rule",), {"fa": 0.1}),
    )
    runs = made({"rule": "fa", "k": 4, "accuracy/test": 0.40, "growth/max": 2.0})
    found = scores(one, {}, SPECS, runs, NOTHING, lambda specs: 1.5 * len(specs))
    assert [score.status for score in found] == [REPRODUCED, NOT_RUN]
    first, absent = found
    assert (first.ours, first.n, first.run_ids) == (0.40, 1, ("run0",))
    assert first.hours == 1.5 and math.isnan(first.sd)  # seed 2 is missing
    assert first.row["difference"] == pytest.approx(-0.002) and first.row["runs"] == "run0"
    assert math.isnan(absent.ours) and math.isnan(absent.hours) and not absent.run_ids
    assert totals(found) == {REPRODUCED: 1, DEVIATES: 0, NOT_RUN: 1}


def test_a_value_by_layer_is_compared_with_that_layer():
    one = Reported(AUTHORS, q.GAMMA, ("rule", "layer"), {("fa", 2): 0.3})
    runs = made({"rule": "fa", "k": 4, **ACCURACY, "alignment/h02": 0.31, "alignment/deep": 0.9})
    (score,) = scores(experiment(one), {}, SPECS, runs, NOTHING, lambda _: 0.0)
    assert score.ours == 0.31 and score.status == REPRODUCED


def test_a_reported_cell_without_runs_of_its_invocation_is_an_error():
    one = Reported(AUTHORS, q.ACCURACY, ("rule",), {"dfa": 0.3})
    with pytest.raises(ValueError, match="dfa"):
        scores(experiment(one), {}, SPECS, made({"rule": "fa", **ACCURACY}), NOTHING, lambda _: 0.0)


def test_a_number_that_two_experiments_show_counts_once():
    runs = made({"rule": "fa", "k": 4, **ACCURACY})
    two = experiment(reported(0.402), reported(0.3, q.GAMMA))
    few = experiment(reported(0.402), kind="other")
    found = [s for e in (few, two) for s in scores(e, {}, SPECS, runs, NOTHING, lambda _: 0.0)]
    assert [(score.kind, score.quantity.name) for score in board(found)] == [
        ("one", "accuracy"),
        ("one", "alignment"),
    ]


def test_bounds_and_what_is_not_measured_do_not_stand_beside_ours():
    hidden = (reported(1.0, bound="≤"), reported(1.0, absent="no experiment measures it"))
    own = experiment(reported(0.4), *hidden, reported(3.0, q.GROWTH))
    assert own.beside == own.reported[:1] and len(own.shown) == 2
    runs = made({"rule": "fa", "k": 4, **ACCURACY})
    assert isinstance(own.frame(runs, NOTHING), Frame)
