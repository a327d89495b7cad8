"""Tracking URIs: their secrets stay secret, and those that are refused leave no file."""

import pytest

from credit.errors import CreditError
from credit.tracking.store import open_store, shown


@pytest.mark.parametrize("password", ["qz1", "qz1@qz2", "qz1/qz2", "qz1@qz2/qz3@qz4", "qz1@"])
def test_no_part_of_a_password_is_shown(password, monkeypatch):
    for uri in (f"http://me:{password}@127.0.0.1:9/x", f"mysql://me:{password}@127.0.0.1:9/x"):
        scheme = uri.partition("://")[0]
        assert shown(f"no {uri}, it said") == f"no {scheme}://127.0.0.1:9/x, it said"
        if scheme == "http" and "/" not in password:
            continue  # the server is asked, and does not answer for seconds
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        with pytest.raises(CreditError) as caught:
            open_store()
        message = str(caught.value)
        assert "127.0.0.1:9" in message
        assert "qz" not in message
    assert shown("sqlite:////a@b/mlflow.db") == "sqlite:////a@b/mlflow.db"  # a path


@pytest.mark.parametrize("name", ["passwd", "folder"])
def test_a_refused_store_leaves_nothing(name, tmp_path, monkeypatch):
    (tmp_path / "folder").mkdir()
    (tmp_path / "passwd").write_text("root:x:0:0:root:/root:/bin/bash\n")
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / name}")
    with pytest.raises(CreditError, match=name):
        open_store()
    assert sorted(tmp_path.rglob("*")) == before
