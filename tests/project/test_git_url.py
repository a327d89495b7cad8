"""A project that is run from a git URL: its clone is thrown away, and nothing is lost with it."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from credit.tracking.reader import connect
from credit.training import checkpoint
from tests.commands import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("tracking_store")]

URL = "https://project.invalid/credit.git"
EPOCHS = 150
OPTIONS = f"-P dataset=digits -P width=16 -P depth=2 -P k=2 -P epochs={EPOCHS} -P device=cpu"


@pytest.fixture
def from_git(tmp_path: Path) -> dict[str, str]:
    """An environment in which URL is a bare repository of this project on disk."""
    checkout, bare = tmp_path / "checkout", tmp_path / "bare.git"
    checkout.mkdir()
    leave = shutil.ignore_patterns("__pycache__")
    for name in ("credit", "entrypoints"):
        shutil.copytree(ROOT / name, checkout / name, ignore=leave)
    for name in ("MLproject", "conda.yaml", "pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, checkout)
    git = ["git", "-c", "user.name=tester", "-c", "user.email=tester@project.invalid"]
    for command in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-q", "-m", "all"]):
        subprocess.run([*git, *command], cwd=checkout, check=True)
    subprocess.run(["git", "clone", "-q", "--bare", checkout, bare], check=True)
    (tmp_path / "clones").mkdir()
    (tmp_path / "elsewhere").mkdir()
    bin_folder = str(Path(sys.executable).parent)
    env = os.environ | {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{bare.as_uri()}.insteadOf",
        "GIT_CONFIG_VALUE_0": URL,
        "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
        "TMPDIR": str(tmp_path / "clones"),
    }
    del env["CREDIT_STATE"]
    return env


def start(env: dict[str, str], cwd: Path) -> subprocess.Popen:
    command = ["mlflow", "run", URL, "-e", "train", "--env-manager", "local", *OPTIONS.split()]
    return subprocess.Popen(
        command, cwd=cwd, env=env, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def stopped_in_mid_run(env: dict[str, str], cwd: Path) -> str:
    """Train an epoch or more, end as a batch system ends a job; the id of the run."""
    process = start(env, cwd)
    deadline = time.monotonic() + 200
    while True:
        runs = connect().runs()
        if "accuracy/test" in runs and runs["accuracy/test"].notna().any():
            break
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()[1]
        time.sleep(0.2)
    os.killpg(process.pid, signal.SIGTERM)
    process.communicate(timeout=60)
    deadline = time.monotonic() + 60
    while set(connect().runs()["status"]) != {"KILLED"}:  # it outlives the launcher a little
        assert time.monotonic() < deadline
        time.sleep(0.2)
    (run_id,) = connect().runs()["run_id"]
    return run_id


@pytest.mark.parametrize("state", ["kept", "lost"])
def test_the_same_command_goes_on_from_a_git_url(state, from_git, tmp_path):
    cwd = tmp_path / "elsewhere"
    run_id = stopped_in_mid_run(from_git, cwd)
    (path,) = (tmp_path / ".credit").glob("*/stacks/*[0-9a-f].safetensors")
    assert (0, 1) < checkpoint.read_header(path).done < (EPOCHS, 0)
    if state == "lost":
        shutil.rmtree(tmp_path / ".credit")
    process = start(from_git, cwd)
    error = process.communicate(timeout=300)[1]
    assert process.returncode == 0, error
    assert ("they start over" in error) == (state == "lost"), error
    assert "CREDIT_STATE" in error or state == "kept"
    (run,) = connect().runs().to_dict("records")
    assert (run["run_id"], run["status"]) == (run_id, "FINISHED")
    history = connect().history([run_id])
    series = history.loc[history["key"] == "accuracy/test", "step"]
    assert sorted(series) == list(range(1, EPOCHS + 1))
