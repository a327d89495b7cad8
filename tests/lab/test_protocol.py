"""The audit protocol on ladders made by hand."""

import math

import pytest

from credit.experiments.ladder import EXPERIMENT
from credit.lab import results
from credit.lab.protocol import SAMPLE_FLOOR
from credit.lab.quantity import ACCURACY
from tests.lab.made import made

A = ACCURACY.metric
HEALTHY = {"growth/max": 1.5, "grad_norm/h04": 1e-2, "alignment/h02": 0.3}


def judged(rule="fa", ends=(0.35, 0.40), bp=(0.4, 0.6), oracle=(0.3, 0.5), **full) -> dict:
    rows = []
    for name, pair in {rule: ends, "bp": bp, "oracle": oracle}.items():
        for k, accuracy in zip((0, 4), pair, strict=True):
            own = {**HEALTHY, **full} if (name, k) == (rule, 4) else HEALTHY
            rows.append({"rule": name, "k": k, A: accuracy, **own})
    found = results(EXPERIMENT, made(*rows), None).verdicts
    return {v.check: v for v in found if v.rule == rule}


def outcome(verdict) -> tuple:
    return verdict.status, verdict.value, verdict.label


def test_a_rule_that_climbs():
    found = judged()
    assert outcome(found["D1"]) == ("pass", 1.5, "")
    assert outcome(found["D2"]) == ("pass", 1e-2, "")
    assert outcome(found["direction"]) == ("pass", 0.3, "reasonable")
    assert outcome(found["D3"]) == ("pass", 0.05, "")
    assert outcome(found["shape"]) == ("pass", 0.05, "climbs")
    assert outcome(found["oracle_share"]) == ("pass", 0.25, "")


@pytest.mark.parametrize(
    ("ends", "status", "label"),
    [
        ((0.35, 0.37), "pass", "climbs"),
        ((0.35, 0.369), "fail", "flat"),
        ((0.35, 0.331), "fail", "flat"),
        ((0.35, 0.33), "fail", "falls"),
    ],
)
def test_shapes_at_their_bounds(ends, status, label):
    assert outcome(judged(ends=ends)["shape"])[::2] == (status, label)


def test_nothing_is_asked_of_depth_where_bp_gains_nothing():
    found = judged(bp=(0.4, 0.41))
    assert outcome(found["D3"]) == ("undefined", None, "not applicable")
    assert judged(oracle=(0.4, 0.41))["oracle_share"].status == "undefined"


def test_no_share_of_the_oracle_is_asked_of_ceilings():
    assert "oracle_share" not in judged(rule="bp", ends=(0.4, 0.6))


@pytest.mark.parametrize(
    ("norm", "status"),
    [(SAMPLE_FLOOR * 1.01, "pass"), (SAMPLE_FLOOR * 0.99, "fail"), (1e-9, "fail")],
)
def test_direction_is_judged_above_the_floor_only(norm, status):
    found = judged(**{"grad_norm/h04": norm})
    assert found["D2"].status == status and found["D2"].threshold == pytest.approx(SAMPLE_FLOOR)
    assert found["direction"].status == ("pass" if status == "pass" else "undefined")


@pytest.mark.parametrize(
    ("agreement", "status"),
    [(1.0, "pass"), (0.99, "pass"), (0.9899, "undefined"), ([1.0, 0.5], "undefined")],
)
def test_where_float64_agrees_scale_withholds_nothing(agreement, status):
    ends = ([0.3, 0.3], [0.4, 0.4])
    found = judged(ends=ends, **{"grad_norm/h04": 1e-9, "agreement/h02": agreement})
    assert found["D2"].status == "fail" and found["D2"].threshold == pytest.approx(SAMPLE_FLOOR)
    assert found["direction"].status == status
    label = "reasonable" if status == "pass" else "not applicable"
    assert found["direction"].label == label


@pytest.mark.parametrize(("norm", "status"), [(1e-9, "undefined"), (1e-2, "pass")])
def test_with_a_seed_that_was_measured_before_d2_decides(norm, status):
    more = {"grad_norm/h04": norm, "agreement/h02": [1.0, math.nan]}
    found = judged(ends=([0.3, 0.3], [0.4, 0.4]), **more)
    assert found["direction"].status == status
    assert ("remeasure" in found["direction"].reason) == (status == "undefined")


def test_seeds_that_point_opposite_ways_are_no_evidence_of_no_direction():
    found = judged(ends=([0.3, 0.3], [0.4, 0.4]), **{"alignment/h02": [0.3, -0.3]})
    assert outcome(found["direction"]) == ("pass", 0.3, "reasonable")


def test_a_run_that_diverged_grew_without_bound():
    failed = {"status": "FAILED", "reason": "non-finite loss"}
    found = judged(**failed, **{"growth/max": math.nan})
    assert outcome(found["D1"]) == ("fail", None, "")
    assert found["D3"].status == found["D2"].status == "undefined"
