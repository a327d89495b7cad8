"""Sweeps by real engines that lose workers, nodes, their store and their scheduler.

Whatever is lost, the final weights are those of a sweep in one process, bit for bit, and every
series has each step once.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
import ray
from ray.cluster_utils import Cluster

from credit.spec import RunSpec
from credit.sweep import running, sweep, tracked_stack
from credit.sweep.launchers import ray as ray_workers
from credit.sweep.launchers import slurm
from credit.sweep.options import Launch
from credit.tracking.reader import connect
from credit.tracking.store import open_store
from tests.server import PATIENCE_S, Server
from tests.slow_training import Slow
from tests.sweeps import BASE, assert_complete_histories, assert_equal_weights, weights

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
EPOCHS = 12
DRIVER = """
import sys
sys.path.insert(0, {root!r})
from tests.sweep import test_launchers
from credit.sweep.options import Launch
test_launchers.train(Launch({options}))
"""


def grid() -> list[RunSpec]:
    """Three stacks of two runs."""
    fields = {**BASE, "epochs": EPOCHS, "measure_every": EPOCHS, "k": 2}
    return [
        RunSpec(**{**fields, "rule": rule, "seed": seed})
        for seed in (1, 2, 3)
        for rule in ("bp", "dfa")
    ]


def train(launch: Launch, training=Slow) -> sweep.Outcome:
    plan = sweep.Sweep("ladder", "launched", grid())
    return sweep.run(plan, open_store(), training, launch)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> dict:
    """Final weights of the same sweep in one process, with a store of its own."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("undisturbed")
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
        patch.setenv("CREDIT_STATE", str(folder / "state"))
        patch.delenv("MLFLOW_EXPERIMENT_ID", raising=False)  # mlflow leaves it behind
        return weights(train(Launch(), sweep.Networks))


@pytest.fixture
def remote(server: Server, monkeypatch) -> Server:
    """A server with artifacts of its own; this test's runs go to an experiment of their own."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", f"launched-{time.time_ns()}")
    for module in (ray_workers, slurm):
        monkeypatch.setattr(module, "POLL_SECONDS", 0.5)
    return server


def assert_undisturbed(outcome: sweep.Outcome, expected: dict) -> None:
    assert not outcome.failures
    assert set(connect().runs(parent=outcome.parent_id)["status"]) == {"FINISHED"}
    assert_complete_histories(outcome, EPOCHS)
    assert_equal_weights(weights(outcome), expected)


def state() -> Path:
    return sweep.state_folder(open_store())


def checkpoints() -> list[Path]:
    """Of stacks that are in the middle of their training."""
    return list(state().glob("stacks/[!.]*.safetensors"))


class Meanwhile:
    """Does something as soon as a stack has saved, while the test's own thread trains."""

    def __init__(self, action) -> None:
        self.done = False
        self._thread = threading.Thread(target=self._run, args=(action, state()), daemon=True)
        self._thread.start()

    def _run(self, action, folder: Path) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not list(folder.glob("stacks/[!.]*.safetensors")):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        action()
        self.done = True


def kill_one_worker() -> None:
    """A worker is a child of the process that forks them."""
    here = psutil.Process()
    found = [p for p in here.children(recursive=True) if p.ppid() != here.pid]
    max(found, key=lambda p: sum(p.cpu_times()[:2])).kill()


# -------------------------------------------------------------------- workers of this machine


@pytest.mark.usefixtures("tracking_store")
def test_workers_of_this_machine_train_what_one_process_does(undisturbed):
    assert_undisturbed(train(Launch(workers=2, worker_cpus=1), sweep.Networks), undisturbed)


@pytest.mark.usefixtures("tracking_store")
def test_a_worker_that_is_killed_is_replaced(undisturbed, capsys):
    kill = Meanwhile(kill_one_worker)
    outcome = train(Launch(workers=2, worker_cpus=1))
    assert kill.done and "exit status -9" in capsys.readouterr().err
    assert_undisturbed(outcome, undisturbed)


def driver(**options) -> subprocess.Popen:
    """A command that trains the grid, as a user's does."""
    words = ", ".join(f"{name}={value!r}" for name, value in options.items())
    code = DRIVER.format(root=str(ROOT), options=words)
    return subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)


def wait_for_checkpoint(process: subprocess.Popen) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not checkpoints():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.usefixtures("tracking_store")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_scheduler_that_ends_takes_its_workers_along(number, undisturbed):
    open_store()
    process = driver(workers=2, worker_cpus=1)
    wait_for_checkpoint(process)
    below = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(number)
    process.wait(PATIENCE_S)
    _, alive = psutil.wait_procs(below, 60)
    assert not [p for p in alive if "resource_tracker" not in " ".join(p.cmdline())]
    assert_undisturbed(train(Launch(workers=2, worker_cpus=1), sweep.Networks), undisturbed)


# -------------------------------------------------------------------- checkpoints in the store


def test_a_stack_goes_on_from_the_store_where_its_state_folder_is_gone(
    remote, undisturbed, monkeypatch, tmp_path
):
    starts = []
    real = sweep.Networks.tracked

    def noted(self, stack, *args):
        starts.append(stack.tally.steps + stack.optimizer_steps)
        return real(self, stack, *args)

    stop = Meanwhile(lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(tracked_stack.Stopped):
        train(Launch(checkpoints="store"))
    assert stop.done
    monkeypatch.setattr(tracked_stack, "CHECKPOINT_SECONDS", 60.0)
    monkeypatch.setattr(sweep.Networks, "tracked", noted)
    monkeypatch.setenv("CREDIT_STATE", str(tmp_path / "another host"))
    outcome = train(Launch(checkpoints="store"), sweep.Networks)
    assert starts[0] > 0 and starts[1:] == [0, 0]
    assert_undisturbed(outcome, undisturbed)
    client = open_store().client
    assert not any(client.list_artifacts(i, "resume") for i in outcome.run_ids.values())


# -------------------------------------------------------------------- Ray


@pytest.fixture
def cluster(monkeypatch):
    """A Ray cluster of a head without CPUs and two nodes with one each."""
    monkeypatch.setenv("RAY_health_check_period_ms", "1000")
    monkeypatch.setenv("RAY_health_check_failure_threshold", "3")
    small = {"object_store_memory": 80_000_000}
    head = {"num_cpus": 0, "include_dashboard": False, **small}
    made = Cluster(initialize_head=True, head_node_args=head)
    ray.init(address=made.address)  # to the head's node, the only one that stays
    made.nodes = [made.add_node(num_cpus=1, **small) for _ in range(2)]
    monkeypatch.setenv("RAY_ADDRESS", made.address)
    yield made
    ray.shutdown()
    made.shutdown()


def ray_worker() -> psutil.Process:
    """The Ray worker that has used most of a CPU: it trains."""
    found = psutil.process_iter(["cmdline"])  # None of a process that is gone
    found = [p for p in found if "ray::" in " ".join(p.info["cmdline"] or [])]
    return max(found, key=lambda p: sum(p.cpu_times()[:2]))


def test_a_node_and_a_worker_that_die_lose_nothing(remote, cluster, undisturbed):
    def lose() -> None:
        cluster.remove_node(cluster.nodes[0], allow_graceful=False)
        time.sleep(2)
        ray_worker().kill()

    loss = Meanwhile(lose)
    outcome = train(Launch(launcher="ray"))
    assert loss.done
    assert_undisturbed(outcome, undisturbed)


def test_ray_workers_outlive_an_outage_of_the_store(remote, cluster, undisturbed):
    def away() -> None:
        remote.stop()
        time.sleep(60)
        remote.start()

    outage = Meanwhile(away)
    outcome = train(Launch(launcher="ray"))
    assert outage.done
    assert_undisturbed(outcome, undisturbed)


def test_a_ray_driver_that_is_killed_is_followed_by_the_next(remote, cluster, undisturbed):
    process = driver(launcher="ray")
    wait_for_checkpoint(process)
    process.kill()
    process.wait(PATIENCE_S)
    assert_undisturbed(train(Launch(launcher="ray"), sweep.Networks), undisturbed)


# -------------------------------------------------------------------- submitit


def test_a_job_that_is_preempted_goes_on(remote, undisturbed, monkeypatch):
    jobs = []
    real = slurm.Slurm._submit

    def submit(self, tasks):
        submitted = real(self, tasks)
        jobs.extend(job for job, _ in submitted.values())
        return submitted

    monkeypatch.setattr(slurm.Slurm, "_submit", submit)
    monkeypatch.setattr(
        "credit.sweep.sweep.launcher", lambda launch, *_: slurm.Slurm(launch, 0, cluster="local")
    )
    preemption = Meanwhile(lambda: [job._interrupt() for job in jobs])
    outcome = train(Launch(launcher="slurm", worker_memory_gb=1.0))
    assert preemption.done
    logs = "".join(job.paths.stderr.read_text() + job.paths.stdout.read_text() for job in jobs)
    assert "preempted" in logs and "start over" not in logs
    assert_undisturbed(outcome, undisturbed)


# -------------------------------------------------------------------- who runs what


@pytest.mark.usefixtures("tracking_store")
def test_runs_that_another_place_trains_are_refused_until_taken_over(monkeypatch, capsys):
    store = open_store()
    outcome = train(Launch(), sweep.Networks)
    run_id = next(iter(outcome.run_ids.values()))
    store.client.set_tag(run_id, "credit.owner", "f" * 32)
    store.client.update_run(run_id, status="RUNNING")
    with pytest.raises(running.CreditError, match=run_id):
        train(Launch(), sweep.Networks)
    assert connect().run(run_id).info.status == "RUNNING"
    again = train(Launch(take_over=True), sweep.Networks)
    assert again.run_ids == outcome.run_ids
    assert connect().run(run_id).info.status == "FINISHED"


@pytest.mark.usefixtures("tracking_store")
def test_a_dry_run_trains_nothing():
    for workers, stacks in ((2, 3), (6, 6)):
        with pytest.raises(sweep.Planned, match=rf"6 of 6 runs in {stacks} stacks"):
            train(Launch(dry_run=True, workers=workers), sweep.Networks)
    assert connect().parents().empty and connect().runs().empty
