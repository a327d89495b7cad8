"""Entry points as a user calls them: MLproject against the scripts, errors, a small real run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from mlflow.entities import ViewType

from credit import commands
from credit.experiments import find
from credit.experiments.ladder import EXPERIMENT as LADDER
from credit.spec import SETTLED_FIELDS, RunSpec, field_types
from credit.tracking.reader import connect
from tests.commands import ROOT, lightly, python, succeed

PROJECT = yaml.safe_load((ROOT / "MLproject").read_text())["entry_points"]
SCRIPTS = sorted(p.stem for p in (ROOT / "entrypoints").glob("*.py"))
TINY = (
    "--dataset digits --width 8 --depth 2 --epochs 2 --train_samples 200 --measure_samples 32 "
    "--directions 2 --seeds 42 --device cpu"
)


def mlflow_run(entry_point: str, *options: str) -> subprocess.CompletedProcess:
    words = ["-m", "mlflow", "run", ".", "-e", entry_point, "--env-manager", "local"]
    words += [word for option in options for word in ("-P", option)]
    return python(*words, PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}")


def script_of(stanza: dict) -> str:
    return stanza["command"].split()[2].removeprefix("entrypoints.")


def defaults_of(script: str) -> dict[str, str]:
    """Every option of an entry point with its default."""
    name = script.removesuffix("_results")
    options = (own for own in commands.find(name).params if own.name not in ("config", "json"))
    return {str(own.name): own.default for own in options}


def test_every_script_has_its_stanza_and_main_is_the_ladder():
    assert {script_of(stanza) for stanza in PROJECT.values()} == set(SCRIPTS)
    assert set(PROJECT) == {"main", *SCRIPTS} and script_of(PROJECT["main"]) == "ladder"


@pytest.mark.parametrize("name", PROJECT)
def test_mlproject_agrees_with_the_script(name):
    stanza = PROJECT[name]
    defaults = defaults_of(script_of(stanza))
    plain = RunSpec().to_params()
    assert " ".join(f"--{p} {{{p}}}" for p in stanza["parameters"]) in stanza["command"]
    for parameter, declared in stanza["parameters"].items():
        accepted = {defaults[parameter], plain.get(parameter) if name == "train" else None}
        assert str(declared["default"]) in accepted, parameter


def test_help_names_every_option_and_loads_neither_torch_nor_mlflow():
    found = lightly(*([f"entrypoints.{script}", "--help"] for script in SCRIPTS))
    for script, (printed, loaded) in zip(SCRIPTS, found, strict=True):
        assert set(loaded) <= {"pandas"}, script
        assert all(f"--{option} " in printed for option in defaults_of(script)), script


def test_explicit_options_win_over_the_preset():
    chosen = LADDER.settled({"preset": "quick", "dataset": "digits", "epochs": "3"})
    assert chosen["epochs"] == "3" and chosen["width"] == "128"


def test_quick_falls_back_to_digits_where_cifar_cannot_be_had(
    monkeypatch, tmp_path, capsys, no_network
):
    monkeypatch.setenv("CREDIT_DATA", str(tmp_path))
    chosen = LADDER.settled({"preset": "quick"})
    assert chosen["dataset"] == "digits" and chosen["train_samples"] == "0"
    said = capsys.readouterr().err
    assert "digits" in said and "cifar10" in said
    assert {spec.dataset for spec in LADDER.grid(chosen)} == {"digits"}


@pytest.mark.slow
def test_ladder_then_report_then_export_and_import(tracking_store, monkeypatch, tmp_path):
    words = [*TINY.split(), "--ks", "0,2", "--rules", "bp,dfa"]
    printed = succeed("ladder", *words)
    (parent,) = connect().parents("ladder")["run_id"]
    assert parent in printed
    for name in ("table.csv", "table.md", "figure.png", "figure.svg", "verdicts.json", "runs.json"):
        assert connect().artifact(parent, name).stat().st_size > 0
    before = connect().artifact(parent, "table.md").read_text()
    succeed("report")
    assert connect().artifact(parent, "table.md").read_text() == before
    assert len(connect().runs()) == 4
    succeed("export", "--folder", str(tmp_path / "exported"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'elsewhere.db'}")
    succeed("import_results", "--folder", str(tmp_path / "exported"))
    elsewhere = connect().runs()
    assert sorted(elsewhere["name"]) == ["bp k0 s42", "bp k2 s42", "dfa k0 s42", "dfa k2 s42"]
    ids = set(elsewhere["run_id"])
    succeed("ladder", *words)
    assert set(connect().runs()["run_id"]) == ids  # nothing is trained twice


@pytest.mark.slow
def test_a_bf16_ladder_is_published_and_says_so(tracking_store):
    succeed("ladder", *TINY.split(), "--ks", "0", "--rules", "bp", "--precision", "bf16")
    (parent,) = connect().parents("ladder")["name"]
    assert " bf16 " in parent
    assert connect().runs()["name"].tolist() == ["bp k0 s42 bf16"]


@pytest.mark.slow
def test_a_ladder_of_a_rule_that_learns_stands_beside_rules_that_do_not(tracking_store):
    words = "--ks 0,2 --rules bp,credit_bridge --code deltaL --estimator_width 8"
    succeed("ladder", *TINY.split(), *words.split())
    runs = connect().runs()
    assert sorted(runs["rule"]) == ["bp", "bp", "credit_bridge", "credit_bridge"]
    learned = runs.loc[runs["rule"] == "credit_bridge"]
    assert learned["estimator/gradient"].notna().all() and learned["alignment/deep"].notna().all()


@pytest.mark.slow
def test_what_mlflow_run_leaves_of_a_ladder(tracking_store):
    options = ["preset=quick", "rules=bp,dfa", "ks=all", "dataset=digits", "depth=1", "width=8"]
    for _ in range(2):
        done = mlflow_run("ladder", *options, "epochs=1", "seeds=42")
        assert done.returncode == 0, done.stderr
    reader = connect()
    runs, parents = reader.runs(), reader.parents("ladder")
    assert len(runs) == 4 and set(runs["status"]) == {"FINISHED"}
    assert len(parents) == 2 and set(parents["status"]) == {"FINISHED"}
    for parent in parents["run_id"]:
        assert set(reader.children(parent)) == set(runs["run_id"])
        report = reader.artifact(parent, "report.html").read_text()
        assert "--depth 1" in report and "--batch_size" not in report  # not the preset's, too
    assert parents.iloc[0]["params"]["ks"] == "0,1"
    found = reader.client.search_runs(
        reader.experiments, "params.`sweep.depth` = '1' and params.`sweep.batch_size` = '128'"
    )
    assert {run.info.run_id for run in found} == set(parents["run_id"])


@pytest.mark.slow
def test_mlflow_run_passes_on_what_mlproject_does_not_declare(tracking_store):
    assert "width" not in PROJECT["frozen_init"]["parameters"]
    done = mlflow_run("frozen_init", "dataset=digits", "width=16", "depth=2", "samples=32")
    assert done.returncode == 0, done.stderr
    (parent,) = connect().parents("frozen_init").to_dict("records")
    assert parent["params"]["width"] == "16" and parent["status"] == "FINISHED"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("entry_point", "options", "named"),
    [
        ("ladder", ["preset=quick", "dataset=digits", "ks=0,9"], "k=9 exceeds depth"),
        ("train", ["dataset=digits", "widht=16"], "--widht"),
    ],
)
def test_mlflow_run_leaves_no_run_of_a_refused_command(entry_point, options, named, tracking_store):
    done = mlflow_run(entry_point, *options)
    assert done.returncode != 0
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("credit: ")]
    assert named in line
    client = connect().client
    assert not client.search_runs(["0"])
    (gone,) = client.search_runs(["0"], run_view_type=ViewType.DELETED_ONLY)
    assert gone.info.run_name == f"{entry_point} refused" and gone.info.status == "FAILED"
    assert named in gone.data.tags["credit.reason"]


def test_every_field_of_a_run_is_an_option_of_train():
    assert set(find("train").defaults()) == set(field_types()) - SETTLED_FIELDS


def test_options_that_a_rule_does_not_read_are_said(capsys):
    given = {"preset": "quick", "dataset": "digits"}
    for options, unread in (
        ({"rules": "fa,credit_bridge", "code": "deltaL"}, {"code": "fa"}),
        ({"rules": "bp,fa", "credit_reduction": "sum"}, {"credit_reduction": "bp"}),
        ({"rules": "fa", "width": "8"}, {}),
    ):
        LADDER.settled(given | options)
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == len(unread)
        for line, (option, rule) in zip(lines, unread.items(), strict=True):
            assert f"{option}={options[option]}" in line and f"to {rule}:" in line
