"""Two sides of a comparison: pairs by seed, what has no pair, and what is no sample."""

import math

import pytest
from scipy import stats

from credit.errors import CreditError
from credit.experiments import ladder
from credit.lab import Results, results
from credit.lab import quantities as q
from credit.report.comparison import compare, labels, sides
from tests.lab.made import made

A = "accuracy/test"


def of(*rows: dict) -> Results:
    return results(ladder.EXPERIMENT, made(*rows), None)


def runs(rule: str, by_seed: dict[int, float], **more) -> list[dict]:
    return [{"rule": rule, "k": 4, "seed": s, A: a, **more} for s, a in by_seed.items()]


def test_pairs_are_of_one_seed_and_an_unpaired_run_counts_on_neither_side():
    fa, dfa = {1: 0.3, 2: 0.5, 3: 0.1, 9: 0.9}, {3: 0.2, 2: 0.55, 1: 0.33, 8: 0.0}
    lost = [{"rule": "dfa", "k": 4, "seed": 9, "status": "FAILED", A: math.nan}]
    found = compare(
        *labels(of(*runs("fa", fa), *runs("dfa", dfa), *lost), "fa", "dfa"), [q.ACCURACY]
    )
    (row,) = found.table.to_dict("records")
    apart = [dfa[s] - fa[s] for s in (1, 2, 3)]
    low, high = stats.t.interval(0.95, 2, sum(apart) / 3, stats.sem(apart))
    assert (row["n"], row["a"], row["b"]) == (3, pytest.approx(0.3), pytest.approx(0.36))
    assert row["difference"] == pytest.approx(0.06)
    assert row["unpaired"] == 2 and "(2 unpaired)" in found.shown["n"][0]
    assert (row["low"], row["high"]) == (pytest.approx(low), pytest.approx(high))


def test_runs_of_one_cell_that_differ_in_a_setting_are_no_sample():
    """Else the last of them would stand for its seed, and the others be lost unsaid."""
    mixed = of(*runs("fa", {1: 0.3}), *runs("fa", {1: 0.9}, lr=0.1), *runs("dfa", {1: 0.2}))
    with pytest.raises(CreditError):
        compare(*labels(mixed, "fa", "dfa"), [q.ACCURACY])


def test_two_sweeps_may_differ_in_depth_and_say_so():
    both = (of(*runs("fa", {1: 0.3}, depth=depth)) for depth in (4, 6))
    found = compare(*sides(*both, ("a", "b")), [q.ACCURACY])
    assert found.settings.to_dict("records") == [{"setting": "depth", "a": "4", "b": "6"}]
    assert len(found.table) == 1 and math.isnan(found.table["low"][0])


def test_a_rule_is_named_by_its_short_or_full_name():
    full = "examples.sign_symmetric:SignSymmetric"
    both = of(*runs("fa", {1: 0.3}), *runs(full, {1: 0.4}))
    for name in (full, "SignSymmetric"):
        found = compare(*labels(both, "fa", name), [q.ACCURACY])
        assert found.b == "SignSymmetric" and found.table["difference"][0] == pytest.approx(0.1)


def test_a_first_quantity_without_a_valid_pair_is_named():
    gamma = {q.GAMMA.key(4): 0.1}
    both = of(*runs("fa", {1: 0.3}), *runs("dfa", {1: 0.4}, **gamma))
    found = compare(*labels(both, "fa", "dfa"), [q.GAMMA, q.ACCURACY])
    assert found.missing == q.GAMMA.symbol and found.missing in found.answer
    assert not compare(*labels(both, "fa", "dfa"), [q.ACCURACY]).missing


def test_two_sweeps_of_one_cell_each_are_compared_whatever_their_labels():
    both = (of(*runs(rule, {1: a, 2: a})) for rule, a in (("fa", 0.3), ("dfa", 0.4)))
    found = compare(*sides(*both, ("a", "b")), [q.ACCURACY])
    assert (len(found.table), found.table["cell"][0], found.table["n"][0]) == (1, "", 2)
    assert {"setting": "rule", "a": "fa", "b": "dfa"} in found.settings.to_dict("records")
