"""Export from one store, import into another: same names, parameters, values, times; and twice."""

import json
import time
from pathlib import Path

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from credit.errors import CreditError
from credit.tracking.exported import Export
from credit.tracking.portable import export, import_into
from credit.tracking.reader import Reader, connect
from credit.tracking.writer import find_children, open_child, open_store
from tests.tracking.exports import LAYERS, by_name
from tests.tracking.stores import PARAMS, SPECS

SAME = ["name", "status", "spec_hash", "started", "ended", "reason"]
SAME += ["rule", "k", "seed", "lr", "augment"]


def first(tmp_path: Path) -> Reader:
    return connect(f"sqlite:///{tmp_path / 'mlflow.db'}")


def test_round_trip_keeps_everything(exported, other, tmp_path):
    assert import_into(other, exported)[:2] == (4, 0)
    (old, old_history), (new, new_history) = by_name(first(tmp_path)), by_name(connect())
    assert_frame_equal(old.loc[:, SAME], new.loc[:, SAME])
    assert_frame_equal(old_history, new_history)
    assert list(new["imported_from"]) == list(old["run_id"])
    assert set(new["run_id"]).isdisjoint(old["run_id"])
    reader = connect()
    [parent] = reader.parents("ladder")["run_id"]
    run = reader.run(parent)
    assert run.info.run_name == "ladder quick"
    assert run.data.params == PARAMS | {f"sweep.{name}": v for name, v in PARAMS.items()}
    assert set(new["parent_id"]) == {parent}
    children = list(new["run_id"])
    named = json.loads(reader.artifact(parent, "runs.json").read_text())["runs"]
    assert sorted(named) == sorted(children)
    inputs = reader.run(children[0]).inputs
    assert inputs is not None
    assert [i.dataset.digest for i in inputs.dataset_inputs] == ["f" * 36]
    tables = {spec: reader.layers(run) for run, spec in zip(children, new["k"], strict=True)}
    for k, table in enumerate(LAYERS):
        again = tables[k].dropna(axis=1, how="all")
        kept = table.columns.drop("copy") if k == 1 else table.columns
        assert_frame_equal(again[kept], table[kept], check_dtype=False)
    assert tables[1]["copy"].tolist()[1] == 0.1
    assert reader.artifact(children[0], "diagnostics/layers.md").is_file()
    assert reader.artifact(parent, "ladder.csv").is_file()


def words(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table as text; what is missing, None or nan, is empty."""
    return table.astype(str).where(table.notna(), "")


def test_an_export_is_read_in_place_as_the_store_is(exported, tmp_path):
    reader, folder = first(tmp_path), Export(exported)
    (parent,) = folder.parents("ladder")
    runs, known = folder.runs(parent).set_index("run_id"), reader.runs().set_index("run_id")
    common = [name for name in known if name in runs and name not in ("started", "ended")]
    assert_frame_equal(runs.loc[known.index, common], known[common], check_dtype=False)
    assert_frame_equal(folder.history(known.index), reader.history(known.index))
    for run_id in known.index:
        table = reader.layers(run_id)
        own = folder.layers(run_id).reset_index(drop=True)[table.columns]
        assert_frame_equal(words(own), words(table), check_dtype=False)
    with pytest.raises(CreditError, match="no table of layers"):
        folder.layers(parent)


def test_export_is_small_text_and_values_only(exported):
    names = {path.name for path in exported.rglob("*") if path.is_file()}
    assert names == {"runs.json", "metrics.parquet", "layers.parquet", "ladder.csv"}
    assert len([path for path in exported.rglob("*") if path.is_file()]) == 5
    tags = [run["tags"] for run in json.loads((exported / "runs.json").read_text())["runs"]]
    assert not any({"credit.owner", "mlflow.user"} & tag.keys() for tag in tags)
    assert not any("/" in tag.get("mlflow.source.name", "") for tag in tags)


def test_export_again_gives_the_same_files(exported, tmp_path):
    files = {path: path.read_bytes() for path in exported.rglob("*") if path.is_file()}
    export(connect(), connect().runs()["run_id"], exported)
    assert {path: path.read_bytes() for path in exported.rglob("*") if path.is_file()} == files
    with pytest.raises(CreditError, match="not an export"):
        export(connect(), [], tmp_path)


def test_second_import_creates_nothing(exported, other):
    import_into(other, exported)
    before = by_name(connect())
    assert import_into(other, exported)[:2] == (0, 4)
    for old, new in zip(before, by_name(connect()), strict=True):
        assert_frame_equal(old, new)


def test_interrupted_import_is_completed_by_the_next(exported, other):
    import_into(other, exported)
    whole = by_name(connect())[1]
    child = next(iter(connect().runs()["run_id"]))
    other.client.update_run(child, status="RUNNING")  # as if killed just before its end
    assert import_into(other, exported)[:2] == (1, 3)
    assert_frame_equal(by_name(connect())[1], whole)
    assert connect().run(child).info.status in ("FINISHED", "KILLED")


def test_import_leaves_a_run_that_a_sweep_continues_alone(exported, other):
    import_into(other, exported)
    killed = find_children(other, [SPECS[2].spec_hash])[SPECS[2].spec_hash]
    open_child(other, killed.tags["mlflow.parentRunId"], SPECS[2], killed)
    assert import_into(other, exported)[:2] == (0, 4)
    assert connect().run(killed.run_id).info.status == "RUNNING"


def test_imported_finished_runs_count_as_finished(exported, other):
    import_into(other, exported)
    found = find_children(other, [spec.spec_hash for spec in SPECS])
    assert [found[spec.spec_hash].finished for spec in SPECS] == [True, True, False]
    assert not any(run.owner for run in found.values())


def test_an_import_can_be_exported_further(exported, other, tmp_path, _empty_store, monkeypatch):
    import_into(other, exported)
    time.sleep(0.002)
    again = export(connect(), connect().runs()["run_id"], tmp_path / "again")
    old, new = (json.loads((folder / "runs.json").read_text()) for folder in (exported, again))
    assert old == new
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    assert import_into(open_store(), again)[:2] == (0, 4)  # home again: all there already
