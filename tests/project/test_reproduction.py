"""The published programme: its plan, its runs, its scoreboard, and the page that shows it."""

import re

import pandas as pd
import pytest

from credit import experiments
from credit.commands import reproduce
from credit.lab.scoreboard import NOT_RUN, authors, invocations, totals
from credit.report import reproduction
from credit.sweep import machine, programme
from credit.sweep.launch import Done
from credit.tracking.exported import Exports
from credit.tracking.reader import connect
from tests.commands import ROOT

PAGE = ROOT / "docs" / "reproduction.md"
HEADLINE = r"(\d+) of (\d+) reported numbers reproduced"


@pytest.fixture(scope="module")
def state() -> programme.State:
    return programme.State(Exports(ROOT / "results"), programme.steps())


def main(**options: str) -> int:
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    return reproduce.COMMAND.main(words, standalone_mode=False)


@pytest.mark.slow
def test_the_page_is_what_results_give(state):
    assert reproduction.document(state, state.source) == PAGE.read_text(), "make reproduction"


@pytest.mark.slow
def test_every_number_of_the_authors_is_on_the_board_once(state):
    own = {id(one) for kind in experiments.KINDS for one in authors(experiments.find(kind))}
    boarded = {id(score.one) for score in state.scores}
    assert boarded <= own and len({s.identity for s in state.scores}) == len(state.scores) == 160
    assert sum(totals(state.scores).values()) == 160
    for score in state.scores:
        assert (score.status == NOT_RUN) == bool(score.why) == (not score.run_ids)
        assert score.one.absent or score.hours >= 0
        assert score.run_ids or score.one.absent or score.hours > 0


@pytest.mark.slow
def test_reduced_runs_are_nobodys_numbers(state):
    used = {run_id for score in state.scores for run_id in score.run_ids}
    runs = state.runs.loc[state.runs["run_id"].isin(used) & state.runs["accuracy/test"].notna()]
    cifar = runs.loc[runs["dataset"] == "cifar10"]
    assert len(cifar) > 40 and set(cifar["epochs"]) <= {30, 100}
    assert set(cifar["train_samples"]) == {0}
    assert set(runs.loc[runs["dataset"] == "teacher", "train_samples"]) == {3072}


@pytest.mark.slow
def test_the_plan_has_hours_of_what_is_missing_alone(state):
    plan = state.plan.set_index("experiment")
    assert plan.loc["ladder", "missing"] == 0 == plan.loc["ladder", "hours"]
    assert plan.loc["ladder --depth 2 --width 512", "missing"] == 9
    assert plan.loc["depth_scan", "hours"] > plan.loc["method_comparison", "hours"] > 1
    assert "credit_scale" not in plan.index  # its numbers are the ladder's
    assert plan.index[-1] == "depth_scan"


def test_the_readme_has_the_totals_of_the_page():
    found = [re.search(HEADLINE, path.read_text()) for path in (ROOT / "README.md", PAGE)]
    assert found[0] and found[1] and found[0].groups() == found[1].groups()


def test_every_reported_configuration_is_trained_by_its_options():
    for kind in experiments.KINDS:
        experiment = experiments.find(kind)
        for options in invocations(experiment):
            assert set(options) <= set(experiment.defaults()), (kind, options)


def test_exports_say_by_what_they_ran():
    table = reproduction.provenance(Exports(ROOT / "results")).set_index("results")
    assert set(table.index) == {path.parent.name for path in ROOT.glob("results/*/runs.json")}
    assert table.loc["ladder", "runs"] == "60" and "09e4d7f2" in str(table.loc["ladder", "commits"])
    assert table.loc["ladder", "torch"] == reproduction.UNKNOWN
    assert set(table["days"].str[:8]) == {"2026-11-"}


def test_a_machine_has_a_name():
    tags = machine.tags("cpu")
    assert tags.keys() == {"credit.torch", "credit.device_name", "credit.threads"}
    assert all(tags.values())


@pytest.mark.slow
def test_a_dry_run_trains_nothing(tracking_store, capsys):
    assert main(dry_run="true", only="toy_lq,ladder") == 0
    printed = capsys.readouterr().out
    assert connect().parents().empty and connect().runs().empty
    assert re.search(HEADLINE, printed)[1] == "0" and "unknown" in printed  # type: ignore


@pytest.mark.slow
def test_an_experiment_that_fails_does_not_stop_the_others(tracking_store, monkeypatch, capsys):
    asked = []

    def launch(experiment, given):
        asked.append(experiment.kind)
        assert given["preset"] == "published"
        if experiment.kind == "toy_lq":
            raise RuntimeError("no memory")
        return Done("", "", {"a run": "why"} if experiment.kind == "vector_audit" else {})

    monkeypatch.setattr(programme, "launch", launch)
    assert main(only="toy_lq,vector_audit,nonlinearity_ladder") == 1
    assert sorted(asked) == ["nonlinearity_ladder", "toy_lq", "vector_audit"]
    lines = [line for line in capsys.readouterr().err.splitlines() if "failed" in line]
    assert len(lines) == 2 and "no memory" in lines[1]
    parent = connect().parents("reproduce").iloc[0]
    assert parent["status"] == "FAILED"
    rows = pd.read_csv(connect().artifact(parent["run_id"], "scoreboard.csv"))
    assert set(rows["status"]) == {NOT_RUN} and len(rows) == 37 + 3
    for name in ("scoreboard.md", "report.html"):
        assert connect().artifact(parent["run_id"], name).stat().st_size > 1000


@pytest.mark.slow
def test_the_programme_runs_and_is_published(tracking_store, cifar_root):
    assert main(only="frozen_init") == 0
    parent = connect().parents("reproduce").iloc[0]
    assert parent["status"] == "FINISHED"
    metrics = connect().run(parent["run_id"]).data.metrics
    assert metrics["reported/reproduced"] == 3 and metrics["reported/not_run"] == 0
    rows = pd.read_csv(connect().artifact(parent["run_id"], "scoreboard.csv"))
    assert (rows["n"] == 3).all() and rows["runs"].str.contains(
        connect().newest("frozen_init")
    ).all()
    first = parent["run_id"]
    assert main(only="frozen_init") == 0  # the same command again is the same run
    assert connect().parents("reproduce")["run_id"].tolist() == [first]


def test_an_option_that_is_none_is_refused():
    from credit.errors import CreditError

    with pytest.raises(CreditError, match="dry_run"):
        main(dry_run="perhaps")
    with pytest.raises(CreditError, match="train"):
        main(only="train", dry_run="true")
