"""Stores: one that is open, one that was exported, and another to import into."""

from pathlib import Path

import pytest

from credit.tracking.portable import export
from credit.tracking.reader import connect
from credit.tracking.writer import Store, open_store
from tests.tracking.exports import fill


@pytest.fixture
def opened(tracking_store: str) -> Store:
    return open_store()


@pytest.fixture
def exported(tracking_store: str, tmp_path: Path) -> Path:
    store = open_store()
    _, ids = fill(store, tmp_path)
    return export(connect(), ids, tmp_path / "export")


@pytest.fixture
def other(exported: Path, _empty_store: Path, tmp_path: Path, monkeypatch) -> Store:
    """A second store, to import into."""
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / "mlflow.db").write_bytes(_empty_store.read_bytes())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
    return open_store()
