"""Intervals, p values and Holm's correction, against worked examples."""

import math

import pytest
from scipy import stats

from credit.lab.statistics import MOST, holm, statistics
from credit.lab.verdict import Verdict

# differences of three seeds: mean .05, sd .01, standard error .0057735, t(2) = 4.302653
THREE = [0.04, 0.05, 0.06]


def test_three_seeds_by_hand():
    found = statistics(THREE, 0.02, math.inf)
    assert found is not None and found.n == 3
    half = 4.302653 * 0.01 / math.sqrt(3)
    assert (found.low, found.high) == pytest.approx((0.05 - half, 0.05 + half), rel=1e-6)
    assert found.effect == pytest.approx(3.0)
    # t = .03 / .0057735 = 5.196; P(T_2 > 5.196) = .01756
    assert found.p == pytest.approx(0.01756, abs=1e-4)
    assert found.more is None


def test_more_seeds_are_counted_where_the_interval_spans_the_bound():
    """mean .05, sd .01, bound .03: half widths at n = 4 and 3 are .0159 and .0248."""
    found = statistics(THREE, 0.03, math.inf)
    assert found is not None and found.more == 1
    near = statistics(THREE, 0.049, math.inf)
    assert near is not None and near.more is not None
    n = 3 + near.more
    width = stats.t.ppf(0.975, n - 1) * 0.01 / math.sqrt(n)
    before = stats.t.ppf(0.975, n - 2) * 0.01 / math.sqrt(n - 1)
    assert width < 0.001 <= before
    out_of_reach = statistics(THREE, 0.05 + 1e-9, math.inf)
    assert out_of_reach is not None and out_of_reach.more is None and MOST == 1000


def test_a_size_is_tested_on_both_sides():
    found = statistics([0.001, 0.002, 0.003], -0.02, 0.02)
    below = stats.ttest_1samp([0.001, 0.002, 0.003], 0.02, alternative="less").pvalue
    above = stats.ttest_1samp([0.001, 0.002, 0.003], -0.02, alternative="greater").pvalue
    assert found is not None and found.p == pytest.approx(max(below, above))


def test_seeds_that_agree_and_seeds_that_are_too_few():
    same = statistics([0.1] * 3, 0.0, math.inf)
    assert same is not None and (same.effect, same.p) == (None, 0.0)
    assert same.low == same.high == pytest.approx(0.1)
    wrong = statistics([0.1] * 3, 0.2, math.inf)
    assert wrong is not None and wrong.p == 1.0
    assert statistics([0.1, 0.2], 0.0, math.inf) is None
    assert statistics([0.1, 0.2, math.inf], 0.0, math.inf) is None
    assert statistics(THREE, -math.inf, math.inf) is None


def test_holm_multiplies_the_smallest_by_all_and_never_falls():
    """The smallest of three three times, the next twice; a check without p has no say."""

    def verdict(values: list[float]) -> Verdict:
        found = statistics(values, 0.0, math.inf)
        return Verdict("D3", "fa", "pass", 0.1, 0.0, "", statistics=found)

    judged = [verdict(THREE), verdict([0.1]), verdict([0.01, 0.02, 0.09]), verdict([0.0, 0.1, 0.3])]
    first, _, second, third = (v.statistics.p if v.statistics else math.nan for v in judged)
    assert first < second < third < 2 * second < 1
    found = [v.statistics.p_holm if v.statistics else None for v in holm(judged)]
    assert found == [pytest.approx(3 * first), None, *[pytest.approx(2 * second)] * 2]
