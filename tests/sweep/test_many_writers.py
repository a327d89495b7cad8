"""Many sweeps at once on one store: nothing is lost, nobody crashes, no run is trained twice."""

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from credit.spec import RunSpec
from credit.sweep import sweep
from credit.tracking.artifacts import log_dataset
from credit.tracking.reader import connect
from credit.tracking.store import open_store
from tests.server import Server
from tests.sweeps import BASE

pytestmark = pytest.mark.slow

EPOCHS, RUNS = 20, 3

FORKED = """
import os, sys
sys.path.insert(0, {root!r})
import credit.report  # before the forks: imports are paid once
from tests.sweep import test_many_writers
children = []
for number, seed in enumerate({seeds}):
    child = os.fork()
    if child == 0:
        os.environ["CREDIT_STATE"] += "/" + {states}[number]
        try:
            test_many_writers.train(seed)
        except BaseException as error:
            print(f"writer {{number}}: {{error!r}}", file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    children.append(child)
codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
sys.exit(any(codes))
"""


def grid(seed: int) -> list[RunSpec]:
    fields = {**BASE, "epochs": EPOCHS, "measure_every": 5, "directions": 2, "seed": seed}
    return [RunSpec(**{**fields, "rule": rule, "k": 2}) for rule in ("bp", "fa", "dfa")]


def train(seed: int) -> None:
    """One sweep of its own."""
    plan = sweep.Sweep("ladder", f"writer {seed}", grid(seed))
    outcome = sweep.run(plan, open_store())
    assert len(outcome.run_ids) == RUNS and not outcome.failures


def write_at_once(seeds: list[int], states: str | None = None) -> None:
    """A sweep for every seed, all at once; `states` has a letter for the state folder of each."""
    code = FORKED.format(
        root=str(Path(__file__).parents[2]), seeds=seeds, states=repr(states or "a" * len(seeds))
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


def assert_nothing_is_lost(sweeps: int) -> None:
    """Every run of the sweeps is there once, and in each series every step once."""
    reader = connect()
    runs = reader.runs()
    assert len(runs) == sweeps * RUNS and set(runs["status"]) == {"FINISHED"}
    assert not runs["spec_hash"].duplicated().any()
    history = reader.history(runs["run_id"])
    assert not history.duplicated(["run_id", "key", "step"]).any()
    counts = history.groupby(["key", "run_id"]).size()
    for key, each in (("loss/train", EPOCHS), ("accuracy/test", EPOCHS), ("rho/h01", EPOCHS // 5)):
        assert counts[key].tolist() == [each] * sweeps * RUNS, key
    whole = {1}, set(range(5, EPOCHS + 1, 5)), set(range(1, EPOCHS + 1))
    steps = history.groupby(["run_id", "key"])["step"].apply(set)
    holes = {key: found for (_, key), found in steps.items() if found not in whole}
    assert not holes
    print(f"{sweeps} sweeps: {len(history)} values of {len(runs)} runs, none lost")


@pytest.mark.usefixtures("tracking_store")
def test_four_sweeps_write_to_one_sqlite_file():
    write_at_once([0, 1, 2, 3])
    assert_nothing_is_lost(sweeps=4)
    assert len(connect().parents("ladder")) == 4


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """A PostgreSQL server of this module's own, as an SQLAlchemy URI."""
    pytest.importorskip("psycopg2", reason="psycopg2 is not installed: pip install psycopg2-binary")
    found = [*sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb")), shutil.which("initdb")]
    programs = next((Path(path).resolve().parent for path in found if path), None)
    if programs is None:
        pytest.skip("PostgreSQL is not installed: no initdb")
    user = None
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        names = {entry.pw_name for entry in pwd.getpwall()}
        user = next((name for name in ("postgres", "nobody") if name in names), None)
        if user is None:
            pytest.skip("PostgreSQL does not run as root, and there is no other user")
    # not below pytest's own folder, which no other user may enter
    with tempfile.TemporaryDirectory(prefix="credit-postgresql-") as name:
        folder = Path(name)
        if user:
            shutil.chown(folder, user)

        def call(program: str, *words: str) -> None:
            command = [str(programs / program), "-D", str(folder / "data"), *words]
            done = subprocess.run(command, user=user, cwd=folder, capture_output=True, text=True)
            assert done.returncode == 0, (done.stderr, log.exists() and log.read_text())

        log = folder / "log"
        port = Server.free_port()
        settings = f"-p {port} -k {folder} -h 127.0.0.1 -c fsync=off -c max_connections=200"
        call("initdb", "-U", "credit", "--auth=trust", "--no-sync")
        call("pg_ctl", "-l", str(log), "-w", "-o", settings, "start")
        try:
            yield f"postgresql+psycopg2://credit@127.0.0.1:{port}"
        finally:
            call("pg_ctl", "-m", "immediate", "stop")


@pytest.fixture
def server_on_postgresql(postgres: str, tmp_path: Path, monkeypatch) -> Iterator[Server]:
    """A tracking server on an empty database, which this test's runs go to."""
    import psycopg2

    name = f"db{Server.free_port()}"
    admin = psycopg2.connect(postgres.replace("+psycopg2", "") + "/postgres")
    admin.autocommit = True
    admin.cursor().execute(f"CREATE DATABASE {name}")
    admin.close()
    server = Server(tmp_path, backend=f"{postgres}/{name}")
    server.start()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    open_store()
    yield server
    server.stop()


@pytest.mark.usefixtures("server_on_postgresql")
def test_eight_sweeps_write_to_one_server_on_postgresql():
    write_at_once(list(range(8)))
    assert_nothing_is_lost(sweeps=8)
    assert len(connect().parents("ladder")) == 8


@pytest.mark.usefixtures("server_on_postgresql")
def test_a_dataset_that_others_log_at_the_same_moment_is_no_error():
    store, writers = open_store(), 8
    ids = [store.client.create_run(store.experiment_id).info.run_id for _ in range(writers)]
    start = threading.Barrier(writers)

    def write(run_id: str) -> None:
        for number in range(15):
            start.wait(60)
            info = {"name": "digits", "digest": str(number), "source": "sklearn"}
            log_dataset(store, run_id, info)

    with ThreadPoolExecutor(writers) as pool:
        list(pool.map(write, ids))
    for run_id in ids:
        inputs = store.client.get_run(run_id).inputs.dataset_inputs
        assert sorted(int(one.dataset.digest) for one in inputs) == list(range(15))


@pytest.mark.usefixtures("server_on_postgresql")
def test_two_sweeps_of_one_grid_on_one_server_do_each_run_once():
    """Two grids, and two sweeps of each: the second waits for the first."""
    write_at_once([0, 0, 1, 1], states="aaaa")
    assert_nothing_is_lost(sweeps=2)
