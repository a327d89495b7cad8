"""What every test gets: one thread, no telemetry, and a tracking store and state of its own."""

import os
import shutil
import sys
import urllib.request
from pathlib import Path

# Before torch and mlflow are imported, and for every process that a test starts.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ.setdefault("MPLBACKEND", "Agg")

import pytest
import torch

torch.set_num_threads(1)
for helper in ("stacks", "sweeps", "traps"):  # so that a failure shows the numbers
    pytest.register_assert_rewrite(f"tests.{helper}")

INHERITED = ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME")
"""Set when the tests themselves run inside `mlflow run`; no test may join that run."""


@pytest.fixture(autouse=True)
def own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Point tracking store, artifacts and resume state at this test's own folder."""
    for name in INHERITED:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.setenv("CREDIT_STATE", str(tmp_path / "state"))
    # Where a store without a server puts artifacts unless told otherwise; else it is the cwd.
    monkeypatch.setenv("_MLFLOW_SERVER_ARTIFACT_ROOT", str(tmp_path / "mlruns"))
    _forget_mlflow_state()
    yield
    _forget_mlflow_state()


def _forget_mlflow_state() -> None:
    """Undo `set_tracking_uri`, `set_experiment` and open runs, which outlive a test otherwise."""
    mlflow = sys.modules.get("mlflow")
    if mlflow is None:  # not imported so far, and importing it takes seconds
        return
    inherited = os.environ.get("MLFLOW_TRACKING_URI")
    while mlflow.active_run() is not None:
        mlflow.end_run()
    mlflow.tracking.fluent._active_experiment_id = None
    mlflow.set_tracking_uri(None)
    if inherited is not None:  # set_tracking_uri(None) also clears the variable
        os.environ["MLFLOW_TRACKING_URI"] = inherited


@pytest.fixture
def no_global_generator():
    """Fail a test during which torch's global generator moved: every stream has its own."""
    before = torch.get_rng_state()
    yield
    if not torch.equal(before, torch.get_rng_state()):
        torch.set_rng_state(before)
        pytest.fail("torch's global random generator was used; pass a generator")


@pytest.fixture
def trap(tmp_path: Path):
    """The file that must not be there at the end: unpickling a trap of `tests.traps` writes it."""
    path = tmp_path / "unpickled.txt"
    yield path
    assert not path.exists(), "a pickle was unpickled"


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch):
    """Every request is refused at once by a proxy where nobody listens; no package has data."""
    monkeypatch.setattr("credit.data.files.DEBIAN", Path("/nowhere"))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(urllib.request, "_opener", None)  # keeps the proxies that it first found


@pytest.fixture(scope="session")
def _empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tracking database with its tables made, once per test process (that takes seconds)."""
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def tracking_store(_empty_store: Path, own_store, tmp_path: Path) -> str:
    """The URI of this test's store with its tables already made: a fast start."""
    target = tmp_path / "mlflow.db"
    shutil.copy(_empty_store, target)
    return f"sqlite:///{target}"


@pytest.fixture(scope="session")
def cifar_root() -> Path:
    """The folder that holds CIFAR-10; skips the test where there is none."""
    value = os.environ.get("CREDIT_DATA")
    if not value:
        pytest.skip("CREDIT_DATA is not set: it names the folder that holds CIFAR-10")
    root = Path(value)
    if not (root / "cifar-10-batches-py" / "data_batch_1").is_file():
        pytest.skip(f"no cifar-10-batches-py in CREDIT_DATA={value}")
    return root


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory):
    """A tracking server of this module's own, running."""
    from tests.server import Server  # imports mlflow

    server = Server(tmp_path_factory.mktemp("server"))
    server.start()
    yield server
    server.stop()
