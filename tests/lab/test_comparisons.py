"""Checks of the comparisons in cases that no stored sweep has had."""

import pytest

from credit.experiments import credit_scale, depth_scan, direction_quality, method_comparison, train
from credit.lab import Experiment, Frame, Verdict
from credit.lab.quantity import ACCURACY, VALID_SEEDS
from credit.lab.table import long_table
from tests.lab.made import made

A, RATIO = ACCURACY.metric, "cost/flops_ratio"


def judged(experiment: Experiment, *rows: dict, **common: object) -> dict[tuple, Verdict]:
    runs = made(*rows, **common)
    labels = {f.name: [f.label(r) for r in runs.to_dict("records")] for f in experiment.factors}
    frame = Frame(runs.assign(**labels), experiment.factors)
    found = [check.judge(frame) for check in experiment.checks(frame)]
    return {(own.rule, own.check, own.place): own for own in found}


def deep(rule: str, first: float, last: float) -> list[dict]:
    return [{"rule": rule, "depth": d, "k": d, A: v} for d, v in ((2, first), (4, last))]


def test_no_rule_must_use_depth_where_bp_itself_falls():
    rows = [*deep("bp", 0.60, 0.58), *deep("fa", 0.3, 0.2), *deep("dfa", 0.3, 0.281)]
    found = judged(depth_scan.EXPERIMENT, *rows)
    assert found["bp", "does not fall", ""].status == "fail"  # by the margin itself
    assert found["fa", "uses depth", ""].label == "not applicable"
    assert found["dfa", "shape", ""].label == "stays"
    alone = judged(depth_scan.EXPERIMENT, *deep("fa", 0.3, 0.2))
    assert alone["bp", "does not fall", ""].status == "undefined"


@pytest.mark.parametrize(
    ("ratio", "accuracy", "status"), [(0.9, 0.1, "pass"), (1.0, 0.48, "pass"), (1.0, 0.47, "fail")]
)
def test_a_dearer_rule_must_be_as_accurate_as_bp(ratio: float, accuracy: float, status: str):
    rows = [{"rule": "bp", A: 0.5, RATIO: 1.0}, {"rule": "fa", A: accuracy, RATIO: ratio}]
    assert judged(method_comparison.EXPERIMENT, *rows)["fa", "cost", ""].status == status


def test_shares_are_of_the_same_seed_and_checks_name_what_was_not_run():
    runs = made({"rule": "oracle", A: [0.4, 0.5]}, {"rule": "fa", A: [0.2, 0.1, 0.3]})
    found = method_comparison.with_shares(runs, None)  # pyright: ignore[reportArgumentType]
    fa = found.loc[found["rule"] == "fa"]
    assert fa["share/oracle"].round(3).tolist()[:2] == [0.5, 0.2]
    assert fa["share/oracle"].isna().tolist() == [False, False, True]
    assert found["share/bp"].isna().all()
    alone = judged(method_comparison.EXPERIMENT, {"rule": "state_bridge", A: 0.3})
    assert alone["state_bridge", "last", ""].status == "undefined"


def test_directions_are_judged_at_every_penalty():
    rows = [
        {"penalty": p, "grad_norm/h04": 1.0, "growth/max": 1.0, "alignment/h02": cosine}
        for p, cosine in ((0.0, 0.04), (0.01, -0.3))
    ]
    found = judged(direction_quality.EXPERIMENT, *rows, rule="dfa", **{A: 0.3})
    assert found["dfa", "direction", "λ=0"].label == "poor"
    assert found["dfa", "direction", "λ=0.01"].label == "reasonable"


def test_half_of_the_lead_is_direction():
    def run(rule: str, reduction: str, eps: float, accuracy: float) -> dict:
        return {"rule": rule, "credit_reduction": reduction, "credit_eps": eps, A: accuracy}

    rows = [run("fa", "mean", 1e-6, 0.40), run("dfa", "sum", 1e-6, 0.30)]
    rows += [run("fa", "mean", 0.0, 0.35), run("fa", "sum", 0.0, 0.35), run("dfa", "sum", 0, 0.30)]
    found = judged(credit_scale.EXPERIMENT, *rows)
    share = found["fa", "share of the lead", ""]
    assert (share.status, share.value, share.label) == ("pass", pytest.approx(0.5), "direction")
    assert found["fa", "eps 1e-06 - 0", ""].label == "higher"
    assert found["fa", "mean = sum, eps 0", ""].value == 0
    assert found["dfa", "mean = sum, eps 0", ""].status == "undefined"


def test_valid_seeds_are_counted():
    runs = made({"rule": "fa", A: [0.3, 0.3, 0.3], VALID_SEEDS.metric: [1.0, 0.0, 1.0]})
    frame = Frame(runs, train.FACTORS[:1])
    assert long_table(frame, (VALID_SEEDS,))["valid"].tolist() == [2]


def test_an_experiment_without_presets_takes_its_options_as_they_are():
    own = train.EXPERIMENT
    chosen = own.settled({"rule": "dfa", "width": "16"})
    (spec,) = own.grid(chosen)
    assert (spec.rule, spec.width) == ("dfa", 16) and "preset" not in chosen
    params = spec.to_params()
    assert {**params, **own.params(chosen, [spec])} == params
