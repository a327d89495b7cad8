"""The program `credit`: what it lists and shows, files of options, JSON, and what it loads."""

import json
import sys

import click
import pytest
import yaml
from safetensors.torch import save_file

from credit import commands, rules
from credit.errors import CreditError
from credit.experiments import KINDS
from credit.networks import kinds
from credit.spec import RunSpec
from credit.tracking.reader import connect
from tests.commands import lightly


def test_what_only_lists_loads_no_torch_and_no_mlflow():
    """And the package itself no pandas either, nor the help."""
    words = "--help", "--version", "ls rules", "ls networks", "ls experiments"
    found = lightly(*(["credit", *one.split()] for one in words))
    assert found[0][1] == []
    for one, (printed, loaded) in zip(words, found, strict=True):
        assert printed and set(loaded) <= {"pandas"}, one


def test_help_names_every_command_once(credit):
    printed = credit("--help")
    names = [line.split()[1] for line in printed.splitlines() if line.startswith("│ ")]
    every = commands.program.list_commands(click.Context(commands.program))
    assert {*KINDS, "compare", "doctor", "import"} <= set(every)
    assert all(names.count(name) == 1 for name in every)


def test_lists_are_what_the_package_has(credit):
    for what, known in (
        ("rules", rules.available()),
        ("networks", kinds.available()),
        ("experiments", KINDS),
    ):
        rows = json.loads(credit("ls", what, "--json"))
        assert [row["name"] for row in rows] == list(known)
        assert all(len(row["what it is"]) > 20 for row in rows)
    rows = json.loads(credit("ls", "presets", "--kind", "ladder", "--json"))
    assert [row["preset"] for row in rows] == ["published", "quick"]


BAD = ("ls rule", "ls rules --kind ladder", "ls runs --kind nix", "laddr", "ui --port abc")


@pytest.mark.parametrize("words", [*map(str.split, BAD), ["ui", "--port", "65536"]], ids=" ".join)
def test_words_that_mean_nothing_are_refused(words, credit, tracking_store):
    with pytest.raises(CreditError):
        credit(*words)


@pytest.mark.parametrize("rule", [*rules.available(), "examples.sign_symmetric:SignSymmetric"])
def test_every_rule_is_shown_with_its_source_and_options(rule, credit):
    shown = json.loads(credit("show", rule, "--json"))
    assert shown["takes from the weights"] == rules.get(rule).transports
    assert set(shown["reads"]) == {n for n in rules.knobs(rule) if n in RunSpec().to_params()}
    assert len(shown["about"]) > 100 and shown["about"] in credit("show", rule)


def test_options_can_be_kept_in_a_file(tmp_path):
    command, file = commands.find("ladder"), tmp_path / "ladder.yaml"
    given = {"preset": "quick", "rules": ["bp", "dfa"], "augment": False, "epochs": 3}
    file.write_text(yaml.safe_dump(given))
    found = command.make_context("ladder", ["--config", str(file), "--epochs", "5"]).params
    assert (found["preset"], found["rules"], found["augment"]) == ("quick", "bp,dfa", "false")
    assert found["epochs"] == "5" and found["width"] == "preset"

    from credit.commands.experiment import save
    from credit.experiments.ladder import EXPERIMENT

    save(EXPERIMENT, {n: v for n, v in found.items() if isinstance(v, str)}, str(file))
    kept = yaml.safe_load(file.read_text())
    assert kept == {"preset": "quick", "rules": "bp,dfa", "augment": "false", "epochs": "5"}
    assert command.make_context("ladder", ["--config", str(file)]).params == found


@pytest.mark.parametrize("text", ["dry-run: true", "dry_run: yes"])
def test_a_file_names_options_as_the_command_line_does(text, tmp_path):
    file = tmp_path / "options.yaml"
    file.write_text(text)
    found = commands.find("ladder").make_context("ladder", ["--config", str(file)])
    assert found.params["dry_run"] == "true"


REFUSED = ["rulez: bp", "- bp", "a: [", None, "rules: {a: bp}", "epochs:", "config: other.yaml"]


@pytest.mark.parametrize("text", REFUSED)
def test_a_file_that_holds_no_options_is_refused(text, tmp_path):
    file = tmp_path / "options.yaml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(CreditError):
        commands.find("ladder").make_context("ladder", ["--config", str(file)])


def test_the_json_of_an_experiment_is_its_result(store):
    reader = connect()
    assert store["run_id"] in set(reader.parents("ladder")["run_id"]) and store["failures"] == {}
    runs = reader.runs(parent=store["run_id"])
    assert len(runs) == 18
    for row in store["table"]:
        own = runs.loc[(runs["rule"] == row["rule"]) & (runs["k"] == row["k"])]
        assert row["accuracy"] == pytest.approx(own["accuracy/test"].mean()) and row["n"] == 3
    assert {v["status"] for v in store["verdicts"]} <= {"pass", "fail", "undefined"}


def test_parents_are_listed(store, credit):
    rows = json.loads(credit("ls", "runs", "--kind", "ladder", "--json"))
    assert {row["run_id"]: row["status"] for row in rows}[store["run_id"]] == "FINISHED"


def test_the_doctor_says_what_there_is_and_no_password(tmp_path, monkeypatch, credit):
    assert json.loads(credit("doctor", "--json"))["store"].endswith("not made yet")
    assert not (tmp_path / "mlflow.db").exists()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    printed = credit("doctor")
    assert "secret" not in printed and "python" in printed


FACTORY = """
from torch import nn
def factory(image, classes):
    block = lambda: nn.Sequential(nn.Linear(16, 16), nn.ReLU())
    stem = nn.Sequential(nn.Flatten(), nn.Linear(64, 16))
    return nn.Sequential(stem, block(), block(), nn.Linear(16, classes))
"""


def test_a_factory_is_diagnosed_with_its_weights(tmp_path, monkeypatch, credit):
    (tmp_path / "own_factory.py").write_text(FACTORY)
    monkeypatch.syspath_prepend(tmp_path)
    words = ("diagnose", "own_factory:factory", "--dataset", "digits", "--samples", "32")
    printed = credit(*words, "--credit", "dfa")
    from own_factory import factory  # pyright: ignore[reportMissingImports]

    weights = tmp_path / "weights.safetensors"
    save_file({n: 0 * p for n, p in factory(None, 10).state_dict().items()}, weights)
    zeroed = credit(*words, "--weights", str(weights))
    assert printed != zeroed and printed and zeroed
    save_file({}, weights)
    with pytest.raises(CreditError):
        credit(*words, "--weights", str(weights))
    with pytest.raises(CreditError):
        credit("diagnose", "own_factory:factory", "--dataset", "toy_lq")
    with pytest.raises(CreditError):  # a network of 64 inputs
        credit("diagnose", "own_factory:factory", "--dataset", "teacher", "--samples", "8")
    sys.modules.pop("own_factory")


def test_a_machine_is_timed(credit):
    printed = credit("bench", "--device", "cpu").splitlines()
    assert len(printed) == 4 and float(printed[-1].split(": ")[1].split()[0]) > 0
