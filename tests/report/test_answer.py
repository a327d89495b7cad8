"""The one-line answer: claims whole, seeds behind them, numbers where no check is."""

import pytest

import credit
from credit.experiments import frozen_init, ladder
from credit.lab import results
from credit.report import verdict_lines
from credit.report.answer import LONGEST, answer, counts, tally
from credit.tracking.reader import connect
from tests.lab.made import made

A = "accuracy/test"


def of_rules(*names: str, oracle=(0.3, 0.5, 0.45)):
    rows = [{"rule": n, "k": k, A: 0.3 + 0.02 * k} for n in (*names, "bp") for k in (0, 4)]
    rows += [{"rule": "oracle", "k": k, A: a} for k, a in zip((0, 2, 4), oracle, strict=True)]
    return results(ladder.EXPERIMENT, made(*rows), None)


def test_without_checks_the_answer_has_the_first_column():
    cosines = {"identity/block_ratio": 0.1, "identity/rel_dev": 0.2, "identity/cos": 0.98}
    found = results(frozen_init.EXPERIMENT, made(cosines), None)
    line = answer(found)
    assert line.count(found.experiment.title) == 1
    assert ".1000" in line and "(n = 1" in line and "; )" not in line


def test_what_is_too_long_loses_its_suffix_first():
    found = of_rules("fa")
    assert found.settings in answer(found) and len(answer(found)) <= LONGEST
    many = of_rules(*(f"module{i}:ARuleWithALongName{i}" for i in range(12)))
    assert many.settings not in answer(many)
    assert all(f"ARuleWithALongName{i}" in answer(many) for i in range(12))
    assert tally(many.verdicts).removesuffix(".") in answer(many)
    assert sum(counts(many.verdicts).values()) == len(many.verdicts)


def test_rules_of_one_class_name_are_told_apart():
    found = of_rules("x.a:Mine", "x.b:Mine")
    assert {"a:Mine", "b:Mine"} <= set(found.wide["rule"])
    assert {"x.a:Mine", "x.b:Mine"} <= set(found.table["rule"])
    lines = "\n".join(verdict_lines(found.verdicts, found.frame))
    assert "a:Mine " in lines and "b:Mine " in lines and "x.a:" not in lines


def test_a_share_says_where_the_oracle_is_best_and_none_below_zero():
    def share(**more):
        verdicts = of_rules("fa", **more).verdicts
        return next(v for v in verdicts if (v.rule, v.check) == ("fa", "oracle_share"))

    assert "k=2" in share().reason and "k=2" not in share(oracle=(0.3, 0.4, 0.45)).reason
    rows = [{"rule": "fa", "k": k, A: 0.4 - 0.02 * k} for k in (0, 4)]
    rows += [{"rule": r, "k": k, A: 0.3 + 0.05 * k} for r in ("bp", "oracle") for k in (0, 4)]
    falls = results(ladder.EXPERIMENT, made(*rows), None).verdicts
    own = next(v for v in falls if (v.rule, v.check) == ("fa", "oracle_share"))
    assert own.status == "fail" and own.value == -0.4 and own.shown == "none"


def test_the_ends_of_a_ladder_are_metrics_of_its_parent(tracking_store):
    words: dict[str, int] = {
        "width": 8,
        "depth": 2,
        "epochs": 1,
        "train_samples": 100,
        "measure_samples": 32,
    }
    found = credit.ladder(dataset="digits", seeds="42,7", rules="bp,dfa", ks="0,2", **words)
    metrics = connect().run(found.run_id).data.metrics
    means = dict(found.runs.groupby(["rule", "k"])["accuracy/test"].mean().items())
    for rule in ("bp", "dfa"):
        assert metrics[f"accuracy/{rule}/k0"] == pytest.approx(means[rule, 0])
        assert metrics[f"accuracy/{rule}/kL"] == pytest.approx(means[rule, 2])
        assert metrics[f"gain/{rule}"] == pytest.approx(means[rule, 2] - means[rule, 0])
