"""A small ladder, trained once through the program, and what the program prints."""

import json
import os
from pathlib import Path

import pytest

from credit import commands
from tests.commands import python

LADDER = {
    "dataset": "digits",
    "width": 8,
    "depth": 2,
    "epochs": 2,
    "train_samples": 200,
    "measure_samples": 32,
    "directions": 2,
    "seeds": [42, 7, 9],
    "rules": ["bp", "fa", "dfa"],
    "ks": [0, 2],
}


@pytest.fixture(scope="session")
def small_ladder(tmp_path_factory) -> tuple[Path, dict]:
    folder = tmp_path_factory.mktemp("program")
    words = []
    for name, value in LADDER.items():
        text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
        words += [f"--{name.replace('_', '-')}", text]
    env = {"MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}"}
    env["CREDIT_STATE"] = str(folder / "state")
    done = python("-m", "credit", "ladder", *words, "--json", cwd=folder, **env)
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout)


@pytest.fixture
def store(small_ladder, monkeypatch) -> dict:
    folder, printed = small_ladder
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
    monkeypatch.setenv("CREDIT_STATE", os.fspath(folder / "state"))
    return printed


@pytest.fixture
def credit(capsys):
    """Call the program with words, in this process; returns what it prints."""

    def call(*words: str) -> str:
        commands.program.main(list(words), prog_name="credit", standalone_mode=False)
        return capsys.readouterr().out

    return call
