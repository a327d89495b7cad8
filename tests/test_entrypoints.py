"""Entry points as a user calls them: MLproject against the scripts, errors, a small real run."""

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from mlflow.entities import ViewType

from credit import cli, grid
from credit.errors import CreditError
from credit.spec import SETTLED_FIELDS, RunSpec
from credit.tracking.reader import connect

ROOT = Path(__file__).parent.parent
PROJECT = yaml.safe_load((ROOT / "MLproject").read_text())
SCRIPTS = sorted(p.stem for p in (ROOT / "entrypoints").glob("*.py"))
TINY = (
    "--dataset digits --width 8 --depth 2 --epochs 2 --train_samples 200 --measure_samples 32 "
    "--directions 2 --seeds 42 --device cpu"
)


def call(script: str, *words: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", f"entrypoints.{script}", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )


def mlflow_run(entry: str, *options: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "mlflow", "run", ".", "-e", entry, "--env-manager", "local"]
    command += [word for option in options for word in ("-P", option)]
    return subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )


def script_of(stanza: dict) -> str:
    return stanza["command"].split()[2].removeprefix("entrypoints.")


def defaults_of(script: str) -> dict[str, str]:
    return runpy.run_path(str(ROOT / "entrypoints" / f"{script}.py"))["DEFAULTS"]


def test_every_script_has_its_entry_point_and_main_is_the_ladder():
    named = {script_of(stanza) for stanza in PROJECT["entry_points"].values()}
    assert named == set(SCRIPTS)
    assert PROJECT["entry_points"]["main"] == PROJECT["entry_points"]["ladder"]


@pytest.mark.parametrize("name", PROJECT["entry_points"])
def test_mlproject_agrees_with_the_script(name):
    stanza = PROJECT["entry_points"][name]
    defaults = defaults_of(script_of(stanza))
    for parameter, declared in stanza["parameters"].items():
        assert f"--{parameter} {{{parameter}}}" in " ".join(stanza["command"].split())
        same = str(declared["default"]) == defaults[parameter]
        number = declared["type"] == "float" and float(declared["default"]) == float(
            defaults[parameter]
        )
        assert same or number, f"{name}: {parameter}"


@pytest.mark.parametrize("experiment", grid.PRESETS)
def test_every_preset_names_options_and_makes_valid_runs(experiment, monkeypatch):
    defaults = defaults_of(experiment)
    for preset, options in grid.PRESETS[experiment].items():
        assert options.keys() <= defaults.keys()
        chosen = grid.settled(experiment, {**defaults, "preset": preset, "dataset": "digits"})
        specs = getattr(grid, experiment)(chosen)
        assert len({spec.spec_hash for spec in specs}) == len(specs) > 0


def test_the_published_ladder_is_the_published_recipe():
    chosen = grid.settled("ladder", defaults_of("ladder"))
    specs = grid.ladder(chosen)
    assert len(specs) == 4 * 5 * 3
    assert {spec.replace(rule="bp", k=4, seed=42) for spec in specs} == {RunSpec()}


def test_explicit_options_win_over_the_preset():
    given = {**defaults_of("ladder"), "preset": "quick", "dataset": "digits", "epochs": "3"}
    chosen = grid.settled("ladder", given)
    assert chosen["epochs"] == "3" and chosen["width"] == "128"


def test_quick_falls_back_to_digits_where_cifar_cannot_be_had(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("CREDIT_DATA", str(tmp_path))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # refused at once: no network
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    chosen = grid.settled("ladder", {**defaults_of("ladder"), "preset": "quick"})
    assert chosen["dataset"] == "digits"
    assert "TRAINING ON digits, NOT cifar10" in capsys.readouterr().err
    assert {spec.dataset for spec in grid.ladder(chosen)} == {"digits"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ks": "0,5"}, "k=5 exceeds depth=4"),
        ({"ks": ""}, "ks='' has an empty item"),
        ({"ks": "1,1"}, "ks='1,1' names an item twice"),
        ({"ks": "1,x"}, "ks='x' is not a whole number"),
        ({"seeds": "-1"}, "seed=-1 is too small"),
        ({"rules": "bp,,fa"}, "has an empty item"),
        ({"preset": "quik"}, "unknown preset 'quik': did you mean 'quick'"),
        ({"lr": "nan"}, "lr=nan is not finite"),
        ({"dataset": "cifar"}, "unknown dataset 'cifar': did you mean 'cifar10'"),
        ({"precision": "fp16"}, "unknown precision 'fp16'"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(CreditError, match=message):
        grid.ladder(grid.settled("ladder", {**defaults_of("ladder"), **options}))


@pytest.mark.parametrize(
    ("script", "words", "message"),
    [
        ("ladder", ["--rulez", "bp"], "unknown option 'rulez': did you mean 'rules'"),
        ("ladder", ["--rules"], "--rules has no value"),
        ("ladder", ["bp"], "unexpected argument 'bp'"),
        ("train", ["--rule", "nosuch", "--dataset", "digits"], "unknown rule 'nosuch'"),
        ("frozen_recovery", ["--networks", "256by4"], "'256by4' is not width x depth"),
        ("frozen_recovery", ["--run_id", "0" * 32], "no run '0000"),
        ("online_scan", ["--arms", "dfa,M4"], "unknown arm 'M4'"),
        ("matched_controls", ["--controls", "deep"], "unknown control 'deep'"),
        ("report", ["--parent", "0" * 32], "no run"),
        ("import_results", ["--folder", "/nonexistent"], "/nonexistent"),
    ],
)
def test_bad_command_lines_end_with_one_line_and_create_nothing(
    script, words, message, tracking_store
):
    done = call(script, *words)
    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1 and message in lines[0] and lines[0].startswith("credit: "), done.stderr
    assert connect().runs().empty and connect().parents().empty


def test_an_unreachable_server_is_named_before_any_compute(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    done = call("ladder", *TINY.split(), "--ks", "0")
    assert done.returncode == 1 and "http://127.0.0.1:9" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr and "run-epoch" not in done.stderr


@pytest.mark.slow
def test_ladder_then_report_then_export_and_import(tracking_store, monkeypatch, tmp_path):
    done = call("ladder", *TINY.split(), "--ks", "0,2", "--rules", "bp,dfa")
    assert done.returncode == 0, done.stderr
    assert "figure" in done.stdout and "make ui" in done.stdout and "D3" in done.stdout
    (parent,) = connect().parents("ladder")["run_id"]
    for name in ("table.csv", "table.md", "figure.png", "figure.svg", "verdicts.json", "runs.json"):
        assert connect().artifact(parent, name).stat().st_size > 0
    before = connect().artifact(parent, "table.md").read_text()
    report = call("report")
    assert report.returncode == 0, report.stderr
    assert connect().artifact(parent, "table.md").read_text() == before
    assert len(connect().runs()) == 4
    exported = call("export", "--folder", str(tmp_path / "exported"))
    assert exported.returncode == 0, exported.stderr
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'elsewhere.db'}")
    imported = call("import_results", "--folder", str(tmp_path / "exported"))
    assert imported.returncode == 0, imported.stderr
    elsewhere = connect().runs()
    assert sorted(elsewhere["name"]) == ["bp k0 s42", "bp k2 s42", "dfa k0 s42", "dfa k2 s42"]
    again = call("ladder", *TINY.split(), "--ks", "0,2", "--rules", "bp,dfa")
    assert again.returncode == 0 and "4 of 4 runs are already there" in again.stderr


def test_a_bf16_ladder_is_published_and_says_so(tracking_store):
    done = call("ladder", *TINY.split(), "--ks", "0", "--rules", "bp", "--precision", "bf16")
    assert done.returncode == 0, done.stderr
    (parent,) = connect().parents("ladder")["name"]
    assert " bf16 " in parent
    assert connect().runs()["name"].tolist() == ["bp k0 s42 bf16"]


def test_a_ladder_of_a_rule_that_learns_stands_beside_rules_that_do_not(tracking_store):
    """Although the knobs that it reads are reset for them."""
    words = "--ks 0,2 --rules bp,credit_bridge --code deltaL --estimator_width 8"
    done = call("ladder", *TINY.split(), *words.split())
    assert done.returncode == 0, done.stderr
    runs = connect().runs()
    assert sorted(runs["name"]) == [
        "bp k0 s42",
        "bp k2 s42",
        "credit_bridge k0 s42 deltaL warm0.0 width8",
        "credit_bridge k2 s42 deltaL warm0.0 width8",
    ]
    learned = runs.loc[runs["rule"] == "credit_bridge"]
    assert learned["estimator/gradient"].notna().all() and learned["alignment/deep"].notna().all()


@pytest.mark.slow
def test_what_mlflow_run_leaves_of_a_ladder(tracking_store):
    """Of the README's line: a report, and parents that are found by what their runs have."""
    options = ["preset=quick", "rules=bp,dfa", "ks=all", "dataset=digits", "depth=1", "width=8"]
    done = mlflow_run("ladder", *options, "epochs=1")
    assert done.returncode == 0, done.stderr
    reader = connect()
    (parent,) = reader.parents("ladder")["run_id"]
    report = reader.artifact(parent, "report.html").read_text()
    assert "--depth 1" in report and "--batch_size" not in report  # not what the preset says, too
    found = reader.client.search_runs(
        reader.experiments, "params.`sweep.depth` = '1' and params.`sweep.batch_size` = '128'"
    )
    assert [run.info.run_id for run in found] == [parent]
    assert found[0].data.params["batch_size"] == "preset"  # what mlflow run logs cannot be changed
    assert reader.parents("ladder").iloc[0]["params"]["ks"] == "0,1"


@pytest.mark.slow
def test_mlflow_run_in_the_current_environment(tracking_store):
    words = ["rules=bp", "ks=0,1", "seeds=42", "dataset=digits", "width=8", "depth=1", "epochs=1"]
    for _ in range(2):  # a second `mlflow run` makes a new parent, which uses the same runs
        done = mlflow_run("ladder", "train_samples=100", *words)
        assert done.returncode == 0, done.stderr
    runs, parents = connect().runs(), connect().parents("ladder")
    assert len(runs) == 2 and set(runs["status"]) == {"FINISHED"}
    assert len(parents) == 2 and set(parents["status"]) == {"FINISHED"}
    for parent in parents["run_id"]:
        assert set(connect().children(parent)) == set(runs["run_id"])
    assert parents.iloc[0]["params"]["rules"] == "bp"


def test_options_left_to_the_preset_are_all_run_fields():
    assert set(cli.spec_options()) == set(RunSpec().to_params()) - SETTLED_FIELDS


@pytest.mark.slow
def test_mlflow_run_leaves_no_run_of_a_refused_command(tracking_store):
    done = mlflow_run("ladder", "preset=quick", "dataset=digits", "ks=0,9")
    assert done.returncode != 0 and "k=9 exceeds depth" in done.stderr
    client = connect().client
    assert not client.search_runs(["0"])
    (gone,) = client.search_runs(["0"], run_view_type=ViewType.DELETED_ONLY)
    assert gone.info.run_name == "ladder refused" and gone.info.status == "FAILED"
    assert "k=9" in gone.data.tags["credit.reason"]


def test_options_that_a_rule_does_not_read_are_said(capsys):
    given = {**defaults_of("ladder"), "preset": "quick", "dataset": "digits"}
    for options, unread in (
        ({"rules": "fa,credit_bridge", "code": "deltaL"}, {"code": "fa"}),
        ({"rules": "bp,fa", "credit_reduction": "sum"}, {"credit_reduction": "bp"}),
        ({"rules": "fa", "width": "8"}, {}),
    ):
        grid.settled("ladder", given | options)
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == len(unread)
        for line, (option, rule) in zip(lines, unread.items(), strict=True):
            assert f"{option}={options[option]}" in line and f"to {rule}:" in line
