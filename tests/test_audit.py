"""Verdicts on the published ladder and at every boundary of the protocol."""

import ast
import json
import math
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credit import audit, bottom_line

BP = {0: [0.389], 1: [0.565], 2: [0.598], 3: [0.608], 4: [0.617]}
FA = {0: [0.355], 1: [0.382], 2: [0.349], 3: [0.398], 4: [0.402]}
DFA = {0: [0.349], 1: [0.244], 2: [0.286], 3: [0.296], 4: [0.301]}
ORACLE = {0: [0.342], 4: [0.425]}


def verdicts(rule, ladder, bp=BP, oracle=ORACLE, **measured):
    given = {"depth": 4, "growth": 2.0, "grad_norm": 0.1, "middle_alignment": 0.1} | measured
    return {v.check: v for v in audit.audit_rule(rule, ladder, bp, oracle, **given)}


def test_published_ladders():
    bp, fa, dfa = (verdicts(n, lad) for n, lad in (("bp", BP), ("fa", FA), ("dfa", DFA)))
    assert [v["D3"].status for v in (bp, fa, dfa)] == ["pass", "pass", "fail"]
    assert [v["shape"].label for v in (bp, fa, dfa)] == ["climbs", "climbs", "falls"]
    assert dfa["D3"].value == pytest.approx(-0.048)
    assert "0.349" in dfa["D3"].reason
    assert "-4.8 points" in dfa["D3"].reason
    assert "k=2 (-3.3 points)" in fa["shape"].reason
    assert "step down" not in bp["shape"].reason
    assert fa["oracle_share"].value == pytest.approx(0.047 / 0.083)
    assert fa["oracle_share"].status == "pass"
    assert dfa["oracle_share"].status == "fail"
    assert "none" in dfa["oracle_share"].reason and "%" not in dfa["oracle_share"].reason
    assert "oracle_share" not in bp


def test_a_share_says_where_the_oracle_is_best():
    def reason(middle: float) -> str:
        return audit.oracle_share("fa", FA, {0: [0.34], 2: [middle], 4: [0.42]}, 4).reason

    assert "k=2" in reason(0.43) and "k=2" not in reason(0.41)


def test_vanilla_dfa_has_no_direction_to_judge():
    found = verdicts("dfa", DFA, growth=[3e4, 2e4, 1e4], grad_norm=1e-7, middle_alignment=0.9)
    assert found["D1"].status == "fail"
    assert found["D1"].value == 3e4
    assert found["D2"].status == "fail"
    assert found["direction"].status == "undefined"
    assert found["direction"].value is None
    assert "1e-07" in found["direction"].reason


def test_growth_boundary_and_worst_seed():
    assert audit.scale_stability(50.0).status == "pass"
    assert audit.scale_stability(math.nextafter(50, 51)).status == "fail"
    worst = audit.scale_stability([1.0, 60.0, 2.0])
    assert (worst.status, worst.value) == ("fail", 60.0)
    assert "3 seeds" in worst.reason
    diverged = audit.scale_stability(math.inf)
    assert (diverged.status, diverged.value) == ("fail", None)
    assert [audit.scale_stability(v).status for v in (None, [], math.nan, [1.0, math.nan])] == [
        "undefined"
    ] * 4


def test_reference_floor_boundary_and_least_seed():
    assert pytest.approx(1.024e-4) == audit.SAMPLE_FLOOR
    assert audit.reference_validity(audit.SAMPLE_FLOOR).status == "fail"
    edge = audit.reference_validity(1.0187e-4)
    assert "is 0.0001019, not above the floor 0.0001024" in edge.reason
    assert audit.reference_validity([1.0, 2e-4]).status == "pass"
    assert audit.reference_validity([1.0, 1e-5]).value == 1e-5
    assert audit.reference_validity(1e-9, floor=1e-12).status == "pass"
    assert audit.reference_validity(None).status == "undefined"
    assert audit.reference_validity([1.0, math.nan]).status == "undefined"


@pytest.mark.parametrize(
    ("cos", "label", "status"),
    [
        (0.0, "poor", "fail"),
        (-0.049, "poor", "fail"),
        (0.05, "mediocre", "pass"),
        (-0.199, "mediocre", "pass"),
        (0.2, "reasonable", "pass"),
        (-0.9, "reasonable", "pass"),
        ([0.3, -0.3], "reasonable", "pass"),
    ],
)
def test_direction_in_words(cos, label, status):
    verdict = audit.direction_quality(cos, audit.reference_validity(1.0), layer=2)
    assert (verdict.label, verdict.status) == (label, status)
    assert label in verdict.reason
    assert "h_2" in verdict.reason


def test_direction_needs_a_measurement():
    assert audit.direction_quality(None, audit.reference_validity(1.0)).status == "undefined"
    assert audit.direction_quality(0.3, audit.reference_validity(None)).status == "undefined"


def test_depth_utility_is_not_applicable_where_bp_does_not_climb():
    flat = {0: [0.50, 0.52], 4: [0.51, 0.52]}
    verdict = audit.depth_utility("fa", FA, flat, 4)
    assert (verdict.status, verdict.label) == ("undefined", "not applicable")
    assert "+0.5 points" in verdict.reason
    assert audit.depth_utility("fa", FA, {}, 4).status == "undefined"
    assert audit.depth_utility("fa", {4: [0.4]}, BP, 4).status == "undefined"
    assert audit.depth_utility("fa", {0: [], 4: [0.4]}, BP, 4).status == "undefined"
    assert audit.depth_utility("fa", {0: [math.nan], 4: [0.4]}, BP, 4).status == "undefined"
    assert audit.depth_utility("fa", FA, BP, 2).value == pytest.approx(-0.006)


def test_two_points_are_two_points_despite_rounding():
    assert audit.DEPTH_MARGIN > 0.42 - 0.40
    assert audit.depth_utility("fa", {0: [0.40] * 2, 4: [0.42] * 2}, BP, 4).status == "pass"
    assert audit.ladder_shape("fa", {0: [0.42], 4: [0.40]}, 4).label == "falls"
    assert audit.ladder_shape("fa", {0: [0.40], 2: [0.9], 4: [0.4199]}, 4).label == "flat"


def test_means_over_seeds_are_compared():
    ladder = {0: [0.30, 0.34], 4: [0.33, 0.36]}
    verdict = audit.depth_utility("fa", ladder, BP, 4)
    assert verdict.value == pytest.approx(0.025)
    assert (verdict.status, verdict.label) == ("undefined", "undecided")
    assert "0.320 ± 0.028" in verdict.reason


def test_share_of_a_ceiling_that_does_not_rise_is_undefined():
    verdict = audit.oracle_share("fa", FA, {0: [0.40], 4: [0.41]}, 4)
    assert (verdict.status, verdict.value) == ("undefined", None)
    assert audit.oracle_share("fa", FA, {}, 4).status == "undefined"


accuracy = st.lists(st.floats(0, 1), min_size=1, max_size=3)
ladder = st.dictionaries(st.integers(0, 4), accuracy, max_size=5)
measured = st.none() | st.floats() | st.lists(st.floats(), max_size=3)


@given(ladder, ladder, ladder, measured, measured, measured)
def test_every_verdict_is_strict_json_with_its_numbers(rule, bp, oracle, growth, grad, cos):
    found = verdicts("r", rule, bp, oracle, growth=growth, grad_norm=grad, middle_alignment=cos)
    assert list(found) == ["D1", "D2", "direction", "D3", "shape", "oracle_share"]
    for verdict in found.values():
        json.dumps(asdict(verdict), allow_nan=False)
        assert verdict.status in ("pass", "fail", "undefined")
        assert verdict.reason
        assert "\n" not in verdict.reason
        if verdict.status == "undefined" and verdict.label != audit.UNDECIDED:
            assert verdict.value is None


@given(st.floats(0, 0.5), st.floats(0.021, 0.5), st.integers(1, 8))
def test_the_oracle_recovers_all_of_its_own_gain(base, gain, depth):
    own = {0: [base], depth: [base + gain]}
    assert audit.oracle_share("oracle", own, own, depth).value == pytest.approx(1.0)


def test_audit_imports_no_torch():
    sources = [Path(module.__file__).read_text() for module in (audit, bottom_line)]
    nodes = [node for text in sources for node in ast.walk(ast.parse(text))]
    names = [a.name for n in nodes if isinstance(n, ast.Import) for a in n.names]
    names += [n.module or "" for n in nodes if isinstance(n, ast.ImportFrom)]
    roots = {name.split(".")[0] for name in names} - {"scipy", "typing"}
    names = {name for name in names if name.startswith("credit")}
    assert names == {"credit.bottom_line"}
    assert roots <= {"credit", "collections", "dataclasses", "itertools", "math", "statistics"}
