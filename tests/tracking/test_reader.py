"""Artifacts and the reader: the same rows by query, by client and over HTTP."""

import json
import math

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from credit.errors import CreditError
from credit.spec import RunSpec, field_types
from credit.tracking import history as history_module
from credit.tracking import marks, rows
from credit.tracking.reader import Reader, connect
from credit.tracking.writer import (
    find_children,
    join,
    log_figure,
    log_json,
    log_table,
    open_child,
    open_parent,
    open_store,
)
from tests.commands import python
from tests.tracking.stores import PARAMS, SPEC, fill, parent_of


def test_artifacts_are_stored_in_both_forms(opened):
    parent = parent_of(opened)
    frame = pd.DataFrame({"rule": ["bp", "a|b"], "accuracy": [0.61734, math.nan], "n": [3, 1]})
    log_table(opened, parent, frame, "tables/ladder")
    figure, axes = plt.subplots()
    axes.plot([1, 2])
    log_figure(opened, parent, figure, "ladder")
    plt.close(figure)
    log_json(opened, parent, {"D1": True}, "verdicts.json")
    reader = connect()
    pd.testing.assert_frame_equal(pd.read_csv(reader.artifact(parent, "tables/ladder.csv")), frame)
    assert reader.artifact(parent, "tables/ladder.md").read_text() == (
        "| rule | accuracy | n |\n| --- | ---: | ---: |\n| bp | 0.6173 | 3 |\n| a\\|b |  | 1 |\n"
    )
    assert reader.artifact(parent, "ladder.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in reader.artifact(parent, "ladder.svg").read_text()
    assert json.loads(reader.artifact(parent, "verdicts.json").read_text()) == {"D1": True}
    with pytest.raises(CreditError, match=r"no artifact 'x.csv': it has .*verdicts.json"):
        reader.artifact(parent, "x.csv")
    with pytest.raises(CreditError, match="no run '0000'"):
        reader.artifact("0000", "x.csv")


def test_reader_gives_typed_rows(opened, tmp_path):
    parent, ids = fill(opened, tmp_path / "j")
    reader = connect()
    frame = reader.runs(kind="ladder").sort_values("k", ignore_index=True)
    assert list(frame["run_id"]) == ids
    assert list(frame["name"]) == ["dfa k0 s42", "dfa k1 s42", "dfa k2 s42"]
    assert list(frame["status"]) == ["FINISHED", "FINISHED", "KILLED"]
    fields = frame.iloc[1][list(field_types())].to_dict()
    assert RunSpec.from_mapping(fields) == SPEC.replace(k=1)
    assert [frame[name].dtype for name in ("lr", "augment", "k")] == [float, bool, int]
    assert frame["accuracy/test"].tolist() == pytest.approx([0.3, 0.3, 0.2])
    assert frame["alignment/h01"].isna().tolist() == [False, False, True]
    assert all(end >= start for start, end in zip(frame["started"], frame["ended"], strict=True))
    assert set(frame["parent_id"]) == {parent}
    assert len(reader.runs(filter="params.k = '1'")) == 1
    assert len(reader.runs(kind="scan")) == 0
    assert list(reader.parents()["run_id"]) == [parent]
    assert list(reader.parents("ladder")["params"]) == [PARAMS]
    with pytest.raises(CreditError, match="filter"):
        reader.runs(filter="k ~~ 1")


def frames(reader: Reader, parent: str) -> list[pd.DataFrame]:
    """Everything that can be asked about runs, with and without a filter."""
    return [
        reader.runs(),
        reader.runs(kind="ladder"),
        reader.runs(kind="none"),
        reader.runs(parent=parent),
        reader.runs(parent=parent, filter="params.k = '1'"),
        reader.runs(kind="scan", parent=parent),
        reader.runs(filter="metrics.`loss/train` < 1"),
        reader.parents(),
        reader.parents("scan"),
    ]


def test_runs_are_the_same_by_query_and_by_client(opened, tmp_path, monkeypatch):
    """Also those of two parents, with nan, deleted, of another schema, or just being created."""
    client = opened.client
    parent, ids = fill(opened, tmp_path / "j")
    second = open_parent(opened, "scan", "scan", {"note": "it's"}, "scanhash")
    own = open_child(opened, second, SPEC.replace(seed=7))
    join(opened, second, ids[:2])
    client.log_metric(own, "loss/train", math.nan, step=1)
    client.log_metric(own, "rho/h01", math.inf, step=1)
    client.delete_run(open_child(opened, parent, SPEC.replace(seed=8)))
    client.set_tag(open_child(opened, parent, SPEC.replace(seed=9)), "credit.schema", "0")
    later = []
    created = open_child(
        opened, second, SPEC.replace(seed=10), later=lambda *call: later.append(call)
    )
    client.create_run(client.create_experiment("other"), tags={"credit.schema": "1"})
    reader = connect()
    by_query = frames(reader, parent)
    assert [len(frame) for frame in by_query] == [4, 3, 0, 3, 1, 2, 2, 2, 1]
    assert by_query[0].iloc[0]["run_id"] == own
    assert math.isnan(by_query[0].iloc[0]["loss/train"])
    assert set(reader.runs(kind="scan")["run_id"]) == {*ids[:2], own}
    assert set(reader.children(second)) == {*ids[:2], own, created}
    found = find_children(opened, [SPEC.replace(k=0).spec_hash, SPEC.replace(seed=8).spec_hash])
    monkeypatch.setattr(rows, "sqlite_path", lambda uri: None)
    for one, other in zip(by_query, frames(reader, parent), strict=True):
        pd.testing.assert_frame_equal(one, other)
    assert set(reader.children(second)) == {*ids[:2], own, created}
    assert found == find_children(opened, [SPEC.replace(k=0).spec_hash, "0"])
    monkeypatch.setattr(rows, "QUESTIONS", 1)
    assert found == find_children(opened, [SPEC.replace(k=0).spec_hash, "0"])


def test_history_is_the_same_by_query_and_by_client(opened, tmp_path, monkeypatch):
    _, ids = fill(opened, tmp_path / "j")
    reader = connect()
    by_query = reader.history(ids)
    assert len(by_query) == 3 + 3 + 2 + 3 + 3 + 2 + 1 + 1
    assert by_query.columns.tolist() == ["run_id", "key", "step", "value", "timestamp"]
    some = reader.history(ids[:1], ["accuracy/test", "absent"])
    assert some["step"].tolist() == [1, 2, 3]
    assert some["value"].tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert reader.history([]).empty
    monkeypatch.setattr(history_module, "sqlite_path", lambda uri: None)
    pd.testing.assert_frame_equal(by_query, reader.history(ids))


def test_reader_does_not_create_a_store(tmp_path):
    with pytest.raises(CreditError, match="no tracking store at"):
        connect(f"sqlite:///{tmp_path / 'absent.db'}")
    assert not (tmp_path / "absent.db").exists()


def test_reader_needs_no_torch():
    code = "import sys, credit.tracking.reader; sys.exit('torch' in sys.modules)"
    assert python("-c", code).returncode == 0


@pytest.mark.slow
def test_same_reading_over_http_and_from_the_database(server, monkeypatch, tmp_path):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    opened = open_store("reading")
    parent, ids = fill(opened, tmp_path / "j")
    over_http, direct = connect(), connect(server.sqlite)
    pd.testing.assert_frame_equal(over_http.runs(), direct.runs())
    assert set(over_http.runs(kind="ladder")["run_id"]) == set(ids)
    with pytest.raises(CreditError, match="set MLFLOW_TRACKING_URI to the server"):
        direct.artifact(parent, "runs.json")  # which is with the server
    pd.testing.assert_frame_equal(over_http.history(ids), direct.history(ids))
    for count, points in ((2, 25_000), (100, 4)):  # more runs than fit a call; answers cut short
        monkeypatch.setattr(history_module, "_BULK_RUNS", count)
        monkeypatch.setattr(history_module, "_BULK_POINTS", points)
        pd.testing.assert_frame_equal(over_http.history(ids), direct.history(ids))
    monkeypatch.setattr(history_module, "_BULK", "/ajax-api/2.0/mlflow/none")
    pd.testing.assert_frame_equal(over_http.history(ids), direct.history(ids))
    assert json.loads(over_http.artifact(parent, "runs.json").read_text()) == {"runs": ids}
    assert opened.ui_command.startswith(f"{server.uri}/#/experiments/")


@given(st.dictionaries(st.sampled_from(sorted(field_types())), st.text(max_size=50)))
@settings(max_examples=200, deadline=None)
@example({"seed": str(2**64)})
@example({"lr": "nan", "k": "9" * 5000})
def test_whatever_a_run_was_logged_with_the_others_are_read(params):
    rows_ = [
        rows.Row(name, name, "FINISHED", 1, 2, own, {marks.SPEC: name}, {})
        for name, own in (("good", SPEC.to_params()), ("odd", {"rule": "bp", **params}))
    ]
    reader = Reader("", None, [])  # pyright: ignore[reportArgumentType]
    reader.used = lambda *_: rows_  # what a store gives, without one for each example
    assert "good" in set(reader.runs()["run_id"])
