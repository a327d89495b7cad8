"""The audit of one rule: controls veto, and a gain within its noise decides nothing."""

import csv
import json
from functools import partial

import pandas as pd
import pytest

from credit.experiments.audit import EXPERIMENT, KNOWN, answer_of, checks_of, subject
from credit.lab.check import within_noise
from credit.lab.verdict import SHALLOWER, Verdict, bottom_line
from credit.tracking.reader import connect
from tests.commands import succeed
from tests.lab.made import made


@pytest.mark.parametrize(
    ("gains", "undecided"),
    [
        ([0.02], True),
        ([0.03], True),  # one run: within 1 point, the end included
        ([0.031], False),
        # mean .025, sd .00707, standard error .005; t(1) = 12.71: ± 6.35 points
        ([0.03, 0.02], True),
        # mean .05, sd .01, standard error .00577; t(2) = 4.303: ± 2.48 points
        ([0.04, 0.05, 0.06], False),
        ([0.03, 0.04, 0.05], True),
        ([0.02, 0.02], False),  # seeds that agree exactly leave no noise
    ],
)
def test_a_gain_is_undecided_within_the_noise_of_the_bound(gains, undecided):
    assert within_noise(gains, 0.02) == undecided


def verdict(check: str, status: str = "pass", label: str = "") -> Verdict:
    return Verdict(check, "fa", status, 0.1, 0.0, "", label)


GOOD = {check: verdict(check) for check in ("D3", "beyond a copy", "k=L > shallow", "D1")}


def line(**more: Verdict):
    return bottom_line((GOOD | more).values())


def test_one_failed_control_is_enough():
    assert line().status == "pass"
    for check in (
        "D3",
        "beyond a copy",
        "k=L > shallow",
        "D3 together",
        "random labels",
        "D1",
        "transport",
    ):
        assert line(**{check: verdict(check, "fail")}).status == "fail", check
    assert line(oracle_share=verdict("oracle_share", "fail")).status == "pass"  # has no say
    shallower = verdict("k=L > shallow", "fail", "shallower")
    assert SHALLOWER in line(**{"k=L > shallow": shallower}).sentence


@pytest.mark.parametrize("check", ["D3", "beyond a copy", "k=L > shallow"])
def test_what_was_not_judged_is_no_evidence(check):
    assert line(**{check: verdict(check, "undefined", "undecided")}).status == "undefined"
    assert bottom_line(own for own in GOOD.values() if own.check != check).status == "undefined"


class NoLayers:
    """A source whose runs have neither histories nor layer tables."""

    def history(self, run_ids, keys=None) -> pd.DataFrame:
        return pd.DataFrame(columns=["run_id", "key", "step", "value", "timestamp"])

    def layers(self, run_id: str) -> pd.DataFrame:
        from credit.errors import CreditError

        raise CreditError(f"run {run_id} has none")


def judged(
    gain=0.1, shallow=0.35, copy=0.2, known=(1.0, -1.0, 0.001), level=0
) -> dict[str, Verdict]:
    healthy = {"growth/max": 1.5, "grad_norm/h04": 0.01, "alignment/h02": 0.3}
    healthy |= {"transport/level": level, "transport/declared": 0}
    calibrated = dict(zip(list(KNOWN)[:3], known, strict=True)) | {"nudge_g": -1, "nudge_neg_g": 1}
    full = {
        **healthy,
        "copy/h02": copy,
        **{KNOWN[name].metric: value for name, value in calibrated.items()},
    }
    rows = [
        {"rule": rule, "k": k, "accuracy/test": 0.3 + gain * bool(k), **(full if k else {})}
        for rule in ("bp", "oracle", "fa")
        for k in (0, 4)
    ]
    rows.append({"rule": "fa", "depth": 1, "k": 1, "width": 348, "accuracy/test": shallow})
    runs = made(*rows)
    frame = EXPERIMENT.frame(runs, NoLayers(), {"identity/cos_mean": 0.98})
    assert subject(frame) == "fa"
    return {own.check: own for own in (c.judge(frame) for c in checks_of("fa", frame))}


def test_a_rule_that_takes_more_than_it_declares_is_no_evidence():
    for level, word in enumerate(("none", "signs", "weights", "gradient")):
        found = judged(level=level)
        status = "fail" if level else "pass"
        assert (found["transport"].status, found["transport"].label) == (status, word)
        assert bottom_line(found.values()).status == status


def outcome(verdict: Verdict) -> tuple:
    return verdict.status, verdict.value


def test_a_rule_that_trains_depth_is_said_to():
    found = judged()
    assert outcome(found["frozen init"]) == ("pass", 0.98)
    assert outcome(found["beyond a copy"]) == ("pass", 0.1)
    assert outcome(found["D3"]) == ("pass", 0.1)
    assert outcome(found["k=L > shallow"]) == ("pass", 0.05)
    assert outcome(found["calibration"]) == ("pass", 0.001)
    assert bottom_line(found.values()).status == "pass"
    assert "9 of its 9 checks" in answer_of("fa", list(found.values()))  # not those of the bench


@pytest.mark.parametrize(
    ("copy", "status"), [(0.28, "pass"), (0.281, "fail"), (0.3, "fail"), (0.99, "fail")]
)
def test_a_copy_of_the_outputs_gradient_is_exceeded_or_not(copy, status):
    found = judged(copy=copy)
    assert found["beyond a copy"].status == status
    assert bottom_line(found.values()).status == status


def test_a_gain_near_the_bound_is_undecided_with_its_value():
    found = judged(gain=0.03, shallow=0.2)
    assert outcome(found["D3"]) == ("undefined", 0.03) and found["D3"].label == "undecided"
    assert bottom_line(found.values()).status == "undefined"


@pytest.mark.parametrize("known", [(0.99, -1.0, 0.001), (1.0, -0.99, 0.001), (1.0, -1.0, 0.01)])
def test_a_bench_that_is_not_calibrated_says_so(known):
    assert judged(known=known)["calibration"].status == "fail"


PASSBACK = """
from credit.rules import Rule


class PassBack(Rule):
    def credit(self, state, trace):
        return [trace.grad_out + 0 for _ in trace.hiddens]
"""


@pytest.mark.slow
def test_a_rule_that_passes_the_outputs_gradient_back_is_not_congratulated(
    tracking_store, tmp_path
):
    (tmp_path / "null_rule.py").write_text(PASSBACK)
    words = "--preset quick --dataset digits --width 16 --epochs 2 --measure_every 2 --seeds 1"
    audit = partial(succeed, "audit", PYTHONPATH=str(tmp_path))
    text = audit("--rule", "null_rule:PassBack", *words.split())
    assert "no evidence" in text.splitlines()[1]
    reader = connect(tracking_store)
    parent = reader.newest("audit")
    assert reader.artifact(parent, "report.html").stat().st_size > 10_000
    with reader.artifact(parent, "table.csv").open() as file:
        assert len(list(csv.DictReader(file))) >= 15
    stored = {
        v["check"]: v for v in json.loads(reader.artifact(parent, "verdicts.json").read_text())
    }
    assert stored["beyond a copy"]["status"] == "fail"
    runs = reader.runs(parent=parent)
    full = runs.loc[(runs["rule"] == "null_rule:PassBack") & (runs["k"] == 4)]
    plain = full.loc[~full["random_labels"] & (full["penalty"] == 0), "run_id"].iloc[0]
    again = audit("--run_id", plain, "--trust_rules", "null_rule:PassBack")
    assert "no evidence" in again.splitlines()[1]
