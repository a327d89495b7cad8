"""What a parent's page leads with: the right claim, its seeds and reductions, nothing left out."""

import dataclasses
import re

import pandas as pd
import pytest

from credit.analysis import answer as outcome
from credit.analysis.answer import answer, page
from credit.analysis.results import Results
from credit.pages import one_per_rule
from credit.spec import RunSpec
from credit.tracking import notes, views
from credit.tracking.marks import KIND
from credit.tracking.store import open_store

HOSTILE = "x](https://evil.example) ![p](https://evil.example/p.png) | a | b"


def verdict(rule, check, status="pass", value=0.1, label="", reason="so it is"):
    return {
        "rule": rule,
        "check": check,
        "status": status,
        "value": value,
        "threshold": 0.02,
        "reason": reason,
        "label": label,
    }


def results(**changes):
    seeds = pd.DataFrame({"rule": ["fa", "fa", "dfa"], "seed": [1, 2, 1]})
    known = {
        "title": "Some scan: L=4; REDUCED: 8 of 100 epochs, 1 of 3 seeds; n = 1 to 2",
        "table": pd.DataFrame(),
        "wide": pd.DataFrame({"rule": ["fa"], "accuracy": [".3"]}),
        "figure": None,
        "verdicts": [],
        "cells": seeds,
        "by": ("rule",),
    }
    return Results(**(known | changes))


QUALIFIED = "(n = 1 to 2; REDUCED: 8 of 100 epochs, 1 of 3 seeds)"


def test_a_depth_scan_is_no_ladder():
    words = {"oracle": ("rises", 0.038), "bp": ("stays", 0.004), "fa": ("falls", -0.03)}
    verdicts = [verdict(r, "shape", value=v, label=w) for r, (w, v) in words.items()]
    line = outcome.trends("From L=2 to 12", verdicts)
    assert line == (
        "From L=2 to 12, accuracy rises: oracle +3.8 points; stays: bp +0.4 points; "
        "falls: fa -3.0 points."
    )
    # without an experiment's own sentence a check called shape means nothing
    assert "no to all" not in answer(results(verdicts=verdicts))


def test_every_answer_keeps_its_claims_and_seeds_and_drops_details_first():
    claims = ("1 checks: 1 pass.", *("A claim that goes on and on (fa +2.0; n = 1)." * 9,) * 3)
    for found in (
        results(),
        results(answer="Short."),
        results(findings=claims, verdicts=[verdict("fa", "D1")]),
    ):
        line = answer(found)
        assert line.endswith(QUALIFIED) and len(line) <= 330
    for claim in ("climbs: bp; " * 24 + "falls: fa, dfa.", "climbs: bp; " * 60 + "falls: fa, dfa."):
        assert answer(results(answer=claim)) == f"{claim} (n = 1 to 2; REDUCED)"
    assert answer(results(title="All of it", cells=None, answer="A.")) == "A. (n = 0)"


def test_what_is_ahead_of_dfa_but_not_of_the_copy_says_so():
    found = results(
        findings=(
            "2 checks: 2 fail.",
            "Failed, by rule: all: M4 > copy, M8 > copy.",
            "Every estimator is ahead of dfa (M4 +0.2; n = 1).",
            "0 of 2 are above the Γ of g_L passed back unchanged (n = 1).",
        ),
        verdicts=[verdict("all", f"{arm} > copy", "fail") for arm in ("M4", "M8")],
    )
    assert answer(found).startswith(
        "Every estimator is ahead of dfa. But none of 2 is beyond the skip path (copy control). (n"
    )


def test_a_boundary_ablation_claims_something():
    verdicts = [
        verdict("credit_bridge", "deltaL leads", "fail"),
        verdict("credit_bridge", "tgw", "fail", label="no trend"),
        verdict("credit_bridge", "warmup", "undefined", None),
    ]
    line = outcome.boundary(verdicts)
    assert "deltaL does not lead" in line and "over tgw: Γ has no trend" in line
    assert "warm" not in line


def test_no_section_of_a_page_is_left_out():
    verdicts = [verdict("fa", f"check {i}", "fail", reason="why " * 60) for i in range(40)]
    found = results(
        findings=(*(f"Ranking {i} " * 50 for i in range(9)), *outcome.tally(verdicts), "Claim. "),
        wide=pd.DataFrame({"rule": ["fa"] * 300, "accuracy": [".3 ± .1"] * 300}),
        verdicts=verdicts,
        caveats=("Mind this.",),
    )
    text = page(found, "", ["[Report](#/report)"] * 5)
    assert len(text) < 4700
    for heading in ("Why", "Numbers", "Checks", "More", "Keep in mind"):
        assert f"**{heading}**\n" in text
    for kept in ("40 checks: 40 fail.", "Mind this.", found.title, "more in the report"):
        assert kept in text
    short = page(results(verdicts=[verdict("fa", "D1")]), "", [])
    assert "more in the report" not in short and "1 checks: 1 pass." in short


def runs_of(*specs: RunSpec) -> pd.DataFrame:
    rows = [
        dataclasses.asdict(spec)
        | {"run_id": f"r{i}", "status": "FINISHED", "started": i, "accuracy/test": 0.3}
        for i, spec in enumerate(specs)
    ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    "changed",
    [
        {"random_labels": True, "augment": False},
        {"penalty": 0.01},
        {"embed_trains": False},
        {"credit_eps": 1e-8},
        {"activation": "phi", "alpha": 0.25},
        {"depth": 1, "k": 1, "width": 512},
    ],
)
def test_rules_are_compared_at_the_same_usual_settings(changed):
    specs = [RunSpec(rule=rule) for rule in ("bp", "oracle", "fa", "dfa")]
    others = [spec.replace(**changed) for spec in specs]
    for runs in (runs_of(*specs, *others), runs_of(*others, *specs)):
        chosen = one_per_rule(runs)
        assert list(chosen) == ["bp", "oracle", "fa", "dfa"]
        own = runs.set_index("run_id").loc[list(chosen.values())]
        for name in changed:
            assert set(own[name]) == {getattr(RunSpec, name)}


def test_without_shared_settings_nothing_is_compared():
    apart = runs_of(RunSpec(rule="bp", alpha=0.5), RunSpec(rule="fa"))
    started = runs_of(*(RunSpec(rule=rule, start="1" * 16) for rule in ("bp", "fa")))
    for runs in (apart, started, apart.assign(status="FAILED")):
        assert one_per_rule(runs) == {}


def test_rules_that_learn_share_their_warm_up():
    learned = [
        RunSpec(rule=rule, warmup_ratio=warm)
        for rule, ratios in {"state_bridge": (0.2, 0.0), "credit_bridge": (0.2, 0.05)}.items()
        for warm in ratios
    ]
    runs = runs_of(RunSpec(rule="dfa"), *learned)
    own = runs.set_index("run_id").loc[list(one_per_rule(runs).values())]
    assert list(own["warmup_ratio"]) == [0.05, 0.2, 0.2]


def described(store, answers):
    notes.describe_experiment(store, answers)
    return store.client.get_experiment(store.experiment_id).tags[notes.NOTE]


def test_the_experiments_page_shows_hostile_names_as_text_and_counts_what_is_left(tmp_path):
    store = open_store(f"sqlite:///{tmp_path / 'x.db'}")
    text = described(store, {"a" * 32: (HOSTILE, 3, f"Out. {HOSTILE} {QUALIFIED}")})
    row = next(line for line in text.splitlines() if "3 runs" in line)
    assert row.count("|") == 3
    assert len(re.findall(r"(?<!!)\[[^\[\]]*\]\(#/", row)) == 1 and "![" not in row
    assert row.count("](") == 1
    assert row.endswith(f"{QUALIFIED} |")
    many = {f"{i:032x}": (f"ladder {i}", 3, f"{'word ' * 60}{QUALIFIED}") for i in range(40)}
    text = described(store, many)
    shown = text.count(", 3 runs")
    assert len(text) < 5000 and f"and {40 - shown} more in [all results]" in text
    assert text.count("word " * 59) == shown
    few = dict(list(many.items())[:5])
    text = described(store, few)
    assert text.count(QUALIFIED) == 5 and "more in [all" not in text


def test_views_stay_as_long_as_their_parents(tmp_path):
    store = open_store(f"sqlite:///{tmp_path / 'x.db'}")
    ids = []
    for _ in range(3):
        tags = {KIND: "ladder", views.ANSWER: "Out."}
        run = store.client.create_run(store.experiment_id, tags=tags).info.run_id
        tag = f"{views.VIEW}{views.view_key(run)}"
        store.client.set_experiment_tag(store.experiment_id, tag, "{}")
        ids.append(run)
    store.client.delete_run(ids[0])
    parents = notes.with_answer(store)
    assert notes.answered(parents, []) == {}  # none has finished runs: yet their pages are there
    views.drop_views(store, keep=[run.info.run_id for run in parents])
    tags = store.client.get_experiment(store.experiment_id).tags
    kept = [f"{views.VIEW}{views.view_key(run)}" in tags for run in ids]
    assert kept == [False, True, True]
