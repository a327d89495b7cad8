"""A checkout as a newcomer has it, and the world that an invocation finds."""

import os
import shlex
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.commands import ROOT
from tests.forking import Forks
from tests.project.documents import SHORT
from tests.project.invocations import TINY, URI, Case, World, sql, surroundings


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory) -> tuple[Path, dict[str, str]]:
    """A copy of what git would hold, and an environment with nothing of one's own in it."""
    folder = tmp_path_factory.mktemp("newcomer")
    checkout, home = folder / "credit", folder / "home"
    home.mkdir()
    listing = ["git", "ls-files", "-co", "--exclude-standard"]
    for name in subprocess.check_output(listing, cwd=ROOT, text=True).splitlines():
        if (ROOT / name).is_file():
            (checkout / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, checkout / name)
    venv = Path(sys.prefix)
    if not (venv / ".installed").exists():
        pytest.skip("the environment was not made by `make setup`")
    (checkout / ".venv").symlink_to(venv)
    os.utime(checkout / "pyproject.toml", (0, 0))  # the environment is newer: no installing
    keep = ("PATH", "CREDIT_DATA", "LANG", "OMP_NUM_THREADS", "MLFLOW_DISABLE_TELEMETRY")
    env = {name: os.environ[name] for name in keep if name in os.environ}
    env |= {"HOME": str(home), "MLFLOW_DISABLE_TELEMETRY": "true"}
    env["ARGS"] = " ".join(f"--{name} {value}" for name, value in SHORT.items())
    return checkout, env


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    with Forks() as started:
        yield started


@pytest.fixture(scope="module")
def trained(
    forks: Forks, _empty_store: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, str]]:
    """A folder with a store that holds a finished run, and that run's names."""
    home = tmp_path_factory.mktemp("trained")
    shutil.copy(_empty_store, home / "mlflow.db")
    env = surroundings(home)
    done = forks.call("train", shlex.split(TINY), env, home, home)
    assert done.status == 0, done.err
    (run,) = MlflowClient(env[URI]).search_runs(["1"], "tags.`credit.spec_hash` LIKE '%'")
    tags = run.data.tags
    names = {"run": run.info.run_id, "hash": tags["credit.spec_hash"]}
    return home, names | {"parent": tags["mlflow.parentRunId"]}


@pytest.fixture
def world(
    request: pytest.FixtureRequest, tracking_store: str, tmp_path: Path, monkeypatch
) -> World:
    """What the case is to find, in this test's folder."""
    case: Case = request.param
    names = {"here": str(tmp_path)}
    if case.trained:
        home, found = request.getfixturevalue("trained")
        names |= found
        shutil.copytree(home / "mlartifacts", tmp_path / "mlartifacts")
        with (
            closing(sqlite3.connect(home / "mlflow.db")) as old,
            closing(sqlite3.connect(tmp_path / "mlflow.db")) as new,
        ):
            old.backup(new)  # a copy of the file lacks what is still in its log
        moved = f"replace({{0}}, '{home}', '{tmp_path}')"
        sql(
            f"UPDATE runs SET artifact_uri = {moved.format('artifact_uri')}",
            f"UPDATE experiments SET artifact_location = {moved.format('artifact_location')}",
        )(World(tmp_path, {}))
    made = World(tmp_path, surroundings(tmp_path), names)
    if case.prepare:
        case.prepare(made)
    return made
