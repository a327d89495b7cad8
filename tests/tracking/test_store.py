"""Stores: where they are, how they are made, and those that cannot be had."""

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time

import pytest

from credit.tracking import store
from credit.tracking.reader import connect
from credit.tracking.store import open_store, shown
from tests.commands import ROOT
from tests.server import PATIENCE_S
from tests.traps import refused


def test_default_store_does_not_depend_on_the_cwd(monkeypatch, tmp_path):
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    if not (store.project_root() / "MLproject").is_file():
        pytest.skip("no MLproject above the package: it is installed, and the cwd is the project")
    before = store.tracking_uri()
    monkeypatch.chdir(tmp_path)
    assert store.tracking_uri() == before
    assert before == f"sqlite:///{store.project_root()}/mlflow.db"


def test_new_store_is_created_in_wal_mode_with_its_own_artifact_root(tmp_path):
    opened = open_store()
    experiment = opened.client.get_experiment(opened.experiment_id)
    assert experiment.name == "credit"
    assert experiment.artifact_location == (tmp_path / "mlartifacts").as_uri()
    assert open_store().experiment_id == opened.experiment_id
    database = sqlite3.connect(tmp_path / "mlflow.db")
    assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert f"#/experiments/{opened.experiment_id}/runs?" in opened.ui_command


@pytest.mark.slow
def test_processes_that_open_a_new_store_at_once_all_succeed():
    code = "from credit.tracking.store import open_store; print(open_store().experiment_id)"
    processes = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    ids = {process.communicate(timeout=PATIENCE_S)[0].strip() for process in processes}
    assert len(ids) == 1
    assert ids != {""}


def test_unreachable_server_is_one_clear_line_within_seconds(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    start = time.monotonic()
    assert "secret" not in refused(open_store, "http://127.0.0.1:9")
    assert time.monotonic() - start < 60  # MLflow's own patience is minutes
    assert "MLFLOW_HTTP_REQUEST_TIMEOUT" not in os.environ


@pytest.mark.parametrize("name", ["is_a_folder", "not_a_database", "file/mlflow.db"])
def test_a_store_that_cannot_be_written_is_refused_and_left_as_it_is(name, monkeypatch, tmp_path):
    (tmp_path / "is_a_folder").mkdir()
    (tmp_path / "not_a_database").write_text("words " * 1000)
    (tmp_path / "file").write_text("")
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / name}")
    refused(open_store, str(tmp_path / name))
    assert sorted(tmp_path.rglob("*")) == before


MAKING = """
import signal, sys
sys.path.insert(0, {root!r})
signal.signal(signal.SIGINT, signal.default_int_handler)
from credit.tracking.store import open_store
print("begins", flush=True)
open_store()
"""


@pytest.mark.slow
def test_a_store_whose_making_is_interrupted_is_made_by_the_next_command(tmp_path):
    command, stopped = [sys.executable, "-c", MAKING.format(root=str(ROOT))], 0
    for delay in (0.3, 1.0, 2.0, 3.0):
        for file in tmp_path.glob("mlflow.db*"):
            file.unlink()
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert process.stdout is not None and process.stdout.readline()
        time.sleep(delay)
        process.send_signal(signal.SIGINT)
        stopped += process.wait(60) != 0
        process.stdout.close()
        subprocess.run(command, check=True, capture_output=True, timeout=120)
        assert connect().runs().empty
        assert not list(tmp_path.glob(".mlflow.db*"))
    assert stopped


def test_a_half_made_store_is_told(tmp_path):
    """As an interrupted `mlflow` leaves it, which makes tables in place."""
    with contextlib.closing(sqlite3.connect(tmp_path / "mlflow.db")) as database:
        database.execute("CREATE TABLE metrics (key TEXT)")
    refused(open_store, "mlflow.db", "MLFLOW_TRACKING_URI")


def test_experiment_from_the_environment(opened, monkeypatch):
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "other")
    other = open_store()
    assert opened.client.get_experiment(other.experiment_id).name == "other"
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "77")
    refused(open_store, "MLFLOW_EXPERIMENT_ID=77")
    monkeypatch.setenv("MLFLOW_RUN_ID", opened.client.create_run("0").info.run_id)
    assert open_store().experiment_id == "0"
    assert "0" in connect().experiments  # whatever MLFLOW_EXPERIMENT_NAME says
    monkeypatch.setenv("MLFLOW_RUN_ID", "0" * 32)
    refused(open_store, "MLFLOW_RUN_ID")


def test_deleted_experiment_names_the_remedy(opened):
    opened.client.delete_experiment(opened.experiment_id)
    refused(open_store, f"--experiment-id {opened.experiment_id}")


@pytest.mark.parametrize("password", ["qz1", "qz1@qz2", "qz1/qz2", "qz1@qz2/qz3@qz4", "qz1@"])
def test_no_part_of_a_password_is_shown(password, monkeypatch):
    for uri in (f"http://me:{password}@127.0.0.1:9/x", f"mysql://me:{password}@127.0.0.1:9/x"):
        scheme = uri.partition("://")[0]
        assert shown(f"no {uri}, it said") == f"no {scheme}://127.0.0.1:9/x, it said"
        if scheme == "http" and "/" not in password:
            continue  # the server is asked, and does not answer for seconds
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        assert "qz" not in refused(open_store, "127.0.0.1:9")
    assert shown("sqlite:////a@b/mlflow.db") == "sqlite:////a@b/mlflow.db"  # a path
