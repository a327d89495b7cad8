"""Checks: every measure and bound against numbers worked out by hand."""

import json
import math

import pytest

from credit.lab import All, Check, Factor, Frame, course, each, gap, share, steps, value
from credit.lab.quantity import ACCURACY, GAMMA, GAMMA_INNER, RHO
from credit.lab.verdict import LONGEST, Verdict
from tests.lab.made import made

DEPTH = Factor("depth", sign="L=")
RULE = Factor("rule")
G, R, A = GAMMA.metric, RHO.metric, ACCURACY.metric


def frame(*rows, **common) -> Frame:
    return Frame(made(*rows, **{A: 0.5, **common}), (DEPTH, RULE), ("depth",))


def judged(frame: Frame, measure, **bound) -> Verdict:
    check = Check("check", "rule", measure)
    how, limit = next(iter(bound.items()))
    more = {k: v for k, v in bound.items() if k != how}
    return getattr(check, how)(limit, **more).judge(frame)


TWO = frame(
    {"rule": "fa", "depth": 2, "k": 2, G: [0.50, 0.60]},
    {"rule": "dfa", "depth": 2, "k": 2, G: [0.30, 0.50]},
    {"rule": "fa", "depth": 4, "k": 4, G: [0.40, 0.40]},
    {"rule": "dfa", "depth": 4, "k": 4, G: [0.39, 0.10]},
)


def test_value_on_every_seed_and_as_a_mean():
    found = judged(TWO, value("dfa", (GAMMA,)), above=0.2)
    assert (found.status, found.value, found.threshold) == ("fail", 0.10, 0.2)
    found = judged(TWO, value("dfa", (GAMMA,)), above=0.2, mean=True)
    assert (found.status, found.value) == ("pass", 0.245)
    assert [(n.place, n.mean, n.by_seed) for n in found.numbers] == [
        ("L=2", 0.40, {"1": 0.30, "2": 0.50}),
        ("L=4", 0.245, {"1": 0.39, "2": 0.10}),
    ]


def test_size_drops_the_sign_seed_by_seed():
    runs = frame({"rule": "dfa", "depth": 2, "k": 2, G: [-0.30, 0.30]})
    assert judged(runs, value("dfa", (GAMMA,)), below=0.1, mean=True).value == 0.0
    found = judged(runs, value("dfa", (GAMMA,), size=True), below=0.1, mean=True)
    assert (found.status, found.value) == ("fail", 0.30)


def test_gaps_are_paired_by_seed():
    found = judged(TWO, gap("fa", "dfa", (GAMMA,)), above=0.05)
    assert (found.status, found.value) == ("fail", 0.01)  # L=4, seed 1
    assert judged(TWO, gap("fa", "dfa", (GAMMA,)), above=0.15, mean=True).value == 0.15
    found = judged(TWO, gap("dfa", "fa", (GAMMA,), lowest=True), above=0.01)
    assert (found.status, found.value) == ("pass", 0.01)


def test_gaps_are_of_the_seeds_that_both_have():
    runs = frame(
        {"rule": "fa", "depth": 2, "k": 2, G: [0.5, 0.6]},
        {"rule": "dfa", "depth": 2, "k": 2, "seed": 2, G: 0.5},
    )
    assert judged(runs, gap("fa", "dfa", (GAMMA,)), above=0.1).value == 0.1
    assert judged(runs, gap("dfa", "fa", (GAMMA,)), above=0.1).status == "fail"
    runs = frame(
        {"rule": "fa", "depth": 2, "k": 2, "seed": 1, G: 0.5},
        {"rule": "dfa", "depth": 2, "k": 2, "seed": 2, G: 0.5},
    )
    assert judged(runs, gap("fa", "dfa", (GAMMA,)), above=0).status == "undefined"


def test_gap_to_another_quantity_of_the_same_run():
    runs = frame({"rule": "fa", "depth": 2, "k": 2, G: 0.5, R: 0.45})
    assert judged(runs, gap("fa", None, (GAMMA,), less=RHO), above=0.05).value == 0.05


COURSE = Frame(
    made(*({"rule": "fa", "k": k, A: [a, a + 0.02]} for k, a in enumerate((0.3, 0.5, 0.44)))),
    (RULE, Factor("k", sign="k=")),
)
RUNGS = [{"rule": "fa", "k": k} for k in range(3)]


def test_steps_and_course():
    found = judged(COURSE, steps(RUNGS, (ACCURACY,)), above=-0.02, mean=True)
    assert (found.status, found.value) == ("fail", -0.06)
    found = judged(COURSE, course(RUNGS, (ACCURACY,)), above=0.14, mean=True)
    assert (found.status, found.value) == ("pass", 0.14)
    assert judged(COURSE, course(RUNGS[:1], (ACCURACY,)), above=0).status == "undefined"


def test_a_share_of_too_little_is_no_number():
    part, whole = gap(RUNGS[2], RUNGS[0], (ACCURACY,)), gap(RUNGS[1], RUNGS[0], (ACCURACY,))
    found = judged(COURSE, share(part, whole, 0.02), above=0.5)
    assert found.status == "pass" and found.value == pytest.approx(0.7)
    assert judged(COURSE, share(part, whole, 0.3), above=0.5).status == "undefined"


def test_bounds_and_equality():
    runs = frame({"rule": "fa", "depth": 2, "k": 2, G: 0.2})
    measure = value("fa", (GAMMA,))
    assert judged(runs, measure, above=0.2).status == "pass"
    assert judged(runs, measure, above=0.2, strict=True).status == "fail"
    assert judged(runs, measure, below=0.2).status == "fail"
    assert judged(runs, measure, below=0.2, strict=False).status == "pass"
    assert judged(runs, measure, within=0.2).status == "pass"
    assert judged(runs, measure, within=0.2, strict=True).status == "fail"


def test_a_failing_place_outweighs_one_without_a_number():
    rows = (
        {"rule": "fa", "depth": 2, "k": 2, G: 0.1},
        {"rule": "fa", "depth": 4, "k": 4, "status": "FAILED", "reason": "non-finite"},
    )
    assert judged(frame(*rows), value("fa", (GAMMA,)), above=0.2).status == "fail"
    assert judged(frame(*rows), value("fa", (GAMMA,)), above=0.1).status == "undefined"


def test_a_seed_that_failed_counts_only_where_no_other_run_finished_it():
    again = {"rule": "fa", "depth": 2, "k": 2, "seed": 1}
    rows = ({**again, "status": "FAILED"}, {**again, "measure_every": 5, G: 0.3})
    assert judged(frame(*rows), value("fa", (GAMMA,)), above=0.1).status == "pass"


def test_an_invalid_number_is_undefined_and_never_left_out():
    runs = frame({"rule": "fa", "depth": 2, "k": 2, G: [0.3, math.nan]})
    found = judged(runs, value("fa", (GAMMA,)), above=0.1)
    assert found.status == "undefined" and found.value is None and "seed 2" in found.reason


def test_anywhere_needs_one_place():
    check = Check("c", "r", value("dfa", (GAMMA,)), anywhere=True)
    assert check.above(0.3).judge(TWO).status == "pass"
    assert check.above(0.3).judge(TWO).value == 0.30
    assert check.above(0.6).judge(TWO).status == "fail"


def test_each_cell_is_a_place():
    found = judged(TWO, each(["fa", "dfa"], lambda cell: value(cell, (GAMMA,))), above=0.1)
    assert found.value == 0.10 and len(found.numbers) == 4
    assert judged(TWO, each(["fa", "bp"], lambda c: value(c, (GAMMA,))), above=0).status == (
        "undefined"
    )


def test_needs_also_and_unless():
    good = Check("good", "r", value("fa", (GAMMA,))).above(0.1)
    bad = Check("bad", "r", value("fa", (GAMMA,))).above(0.9)
    assert good.having(needs=(bad,)).judge(TWO).status == "undefined"
    assert good.having(needs=(bad,)).judge(TWO).label == "not applicable"
    assert good.having(also=(bad,)).judge(TWO).status == "fail"
    assert good.having(also=(bad,)).judge(TWO).value == 0.4
    assert bad.having(unless=good).judge(TWO).status == "pass"
    assert bad.having(unless=bad).judge(TWO).status == "fail"


def test_a_doubt_is_said_and_decides_nothing():
    good = Check("good", "r", value("fa", (GAMMA,))).above(0.1)
    bad = Check("it is loose", "r", value("fa", (GAMMA,))).above(0.9)
    found = good.having(doubt=bad).judge(TWO)
    assert (found.status, found.label) == ("pass", "pass, but it is loose")
    assert good.having(doubt=good).judge(TWO).label == ""


def test_a_network_of_one_block_has_no_inner_layer():
    one = frame({"rule": "fa", "depth": 1, "k": 1, G: 0.5})
    assert judged(one, value("fa", (GAMMA, GAMMA_INNER)), above=0.1).status == "pass"
    assert judged(one, value("fa", (GAMMA_INNER,)), above=0.1).status == "undefined"


def test_words_say_where_a_value_lies():
    words = {"poor": 0.0, "mediocre": 0.3, "reasonable": 0.5}
    check = Check("c", "r", value("fa", (GAMMA,)), words=words)
    assert check.above(0.3, mean=True).judge(TWO).label == "mediocre"


def test_all_takes_the_worst():
    checks = [Check(n, "r", value("fa", (GAMMA,))) for n in "ab"]
    both = All("all", "r", (checks[0].above(0.1), checks[1].above(0.45)), 0.1)
    assert both.judge(TWO).status == "fail" and both.judge(TWO).threshold == 0.1
    assert All("all", "r", (checks[0].above(0.1),)).judge(TWO).status == "pass"


def test_verdicts_are_strict_json_with_reasons_of_one_line():
    runs = frame({"rule": "fa", "depth": 2, "k": 2, G: [math.inf, 1.0]})
    found = judged(runs, value("fa", (GAMMA,)), below=0.1)
    assert found.status == "fail" and found.value is None
    json.dumps(found.row, allow_nan=False)
    many = frame(*({"rule": "fa", "depth": d, "k": d, G: 0.1} for d in range(1, 40)))
    reason = judged(many, value("fa", (GAMMA, ACCURACY)), above=0.2).reason
    assert len(reason) <= LONGEST and "\n" not in reason
