"""Many sweeps at once on one store: nothing is lost, nobody crashes."""

import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from credit import sweep
from credit.spec import RunSpec
from credit.tracking.reader import connect
from credit.tracking.store import open_store
from tests.server import Server
from tests.test_sweep import BASE

pytestmark = pytest.mark.slow

EPOCHS, RUNS = 20, 3

FORKED = """
import os, sys
sys.path.insert(0, {root!r})
import credit.publish  # before the forks: imports are paid once
from tests import test_many_writers
children = []
for seed in range({writers}):
    child = os.fork()
    if child == 0:
        try:
            test_many_writers.train(seed)
        except BaseException as error:
            print(f"writer {{seed}}: {{error!r}}", file=sys.stderr, flush=True)
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


def assert_nothing_is_lost(writers: int) -> None:
    code = FORKED.format(root=str(Path(__file__).parents[1]), writers=writers)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    reader = connect()
    runs = reader.runs()
    assert len(runs) == writers * RUNS and set(runs["status"]) == {"FINISHED"}
    assert len(reader.parents("ladder")) == writers
    history = reader.history(runs["run_id"])
    assert not history.duplicated(["run_id", "key", "step"]).any()
    counts = history.groupby(["key", "run_id"]).size()
    for key, each in (("loss/train", EPOCHS), ("accuracy/test", EPOCHS), ("rho/h01", EPOCHS // 5)):
        assert counts[key].tolist() == [each] * writers * RUNS, key


@pytest.mark.usefixtures("tracking_store")
def test_four_sweeps_write_to_one_sqlite_file():
    assert_nothing_is_lost(writers=4)


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A PostgreSQL server of this module's own, as an SQLAlchemy URI."""
    pytest.importorskip("psycopg2", reason="psycopg2 is not installed: pip install psycopg2-binary")
    found = [shutil.which("initdb"), *sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))]
    programs = next((Path(path).parent for path in found if path), None)
    if programs is None:
        pytest.skip("PostgreSQL is not installed: no initdb")
    folder = tmp_path_factory.mktemp("postgres")
    user = None
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        user = next(
            (n for n in ("postgres", "nobody") if n in (p.pw_name for p in pwd.getpwall())), None
        )
        if user is None:
            pytest.skip("PostgreSQL does not run as root, and there is no other user")
        for path in (folder, *list(folder.parents)[:3]):
            path.chmod(0o755)
        shutil.chown(folder, user)

    def call(*command: str) -> None:
        subprocess.run(
            [str(programs / command[0]), *command[1:]],
            user=user,
            check=True,
            capture_output=True,
            cwd=folder,
        )

    data = folder / "data"
    call("initdb", "-D", str(data), "-U", "credit", "--auth=trust", "--no-sync")
    port = Server.free_port()
    settings = f"-p {port} -k {folder} -h 127.0.0.1 -c fsync=off -c max_connections=200"
    log = folder / "log"
    call("pg_ctl", "-D", str(data), "-l", str(log), "-w", "-o", settings, "start")
    yield f"postgresql+psycopg2://credit@127.0.0.1:{port}/postgres"
    call("pg_ctl", "-D", str(data), "-m", "immediate", "stop")


def test_eight_sweeps_write_to_one_server_on_postgresql(postgres, tmp_path_factory, monkeypatch):
    server = Server(tmp_path_factory.mktemp("server"), backend=postgres)
    server.start()
    try:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
        open_store()
        assert_nothing_is_lost(writers=8)
    finally:
        server.stop()
