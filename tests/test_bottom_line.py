"""The bottom line of an audit: controls veto, and a gain within its noise decides nothing."""

import pytest

from credit.bottom_line import SHALLOWER, Outcome, bottom_line, within_noise

GOOD = {check: Outcome("pass") for check in ("D3", "beyond a copy", "k=L > shallow", "D1")}


@pytest.mark.parametrize(
    ("gains", "undecided"),
    [
        ([0.02], True),
        ([0.03], True),  # one run: within 1 point, the end included
        ([0.031], False),
        ([0.009], False),
        # mean .025, sd .00707, standard error .005; t(1) = 12.71: ± 6.35 points
        ([0.03, 0.02], True),
        ([0.12, 0.121], False),
        # mean .05, sd .01, standard error .00577; t(2) = 4.303: ± 2.48 points
        ([0.04, 0.05, 0.06], False),
        ([0.03, 0.04, 0.05], True),
        ([0.02, 0.02], False),  # seeds that agree exactly leave no noise
    ],
)
def test_a_gain_is_undecided_within_the_noise_of_the_bound(gains, undecided):
    assert within_noise(gains, 0.02) == undecided


def test_one_failed_control_is_enough():
    assert bottom_line(GOOD).status == "pass"
    for check in ("D3", "beyond a copy", "k=L > shallow", "D3 together", "random labels", "D1"):
        assert bottom_line(GOOD | {check: Outcome("fail")}).status == "fail", check
    # a check without a say
    assert bottom_line(GOOD | {"oracle_share": Outcome("fail")}).status == "pass"


def test_a_shallow_network_that_does_better_is_not_one_that_does_as_well():
    for label, better in (("shallower", True), ("equal", False)):
        line = bottom_line(GOOD | {"k=L > shallow": Outcome("fail", label)})
        assert (SHALLOWER in line.sentence) == better


@pytest.mark.parametrize("check", ["D3", "beyond a copy", "k=L > shallow"])
def test_what_was_not_judged_is_no_evidence(check):
    open_question = GOOD | {check: Outcome("undefined", "undecided")}
    assert bottom_line(open_question).status == "undefined"
    del open_question[check]
    assert bottom_line(open_question).status == "undefined"
    assert (
        bottom_line({**GOOD, check: Outcome("fail"), "D1": Outcome("undefined")}).status == "fail"
    )
