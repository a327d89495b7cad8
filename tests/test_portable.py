"""Export from one store, import into another: same names, parameters, values, times; and twice."""

import json
import time
from pathlib import Path

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from credit.errors import CreditError
from credit.spec import RunSpec
from credit.tracking.exported import Export
from credit.tracking.portable import export, import_into
from credit.tracking.reader import Reader, connect
from credit.tracking.writer import (
    Store,
    Writer,
    find_children,
    finish,
    log_artifact_file,
    log_children,
    log_table,
    log_text,
    open_child,
    open_parent,
    open_store,
)

SPECS = [RunSpec(rule="dfa", k=k, epochs=3) for k in (0, 1, 2)]
DATASET = {"name": "digits", "digest": "abc123", "source": "sklearn.datasets.load_digits"}
LAYERS = [
    pd.DataFrame({"layer": [0, 1], "status": ["ok", "ok"], "alignment_mean": [1 / 3, -2e-17]}),
    pd.DataFrame({"layer": [0, 1], "status": ["ok", "at_floor"], "copy": [float("nan"), 0.1]}),
    pd.DataFrame({"layer": [0], "status": ["ok"], "copy": ["ok"]}),  # words for numbers
]
SAME = [
    "name",
    "status",
    "spec_hash",
    "started",
    "ended",
    "reason",
    "rule",
    "k",
    "seed",
    "lr",
    "augment",
]


def fill(store: Store, folder: Path) -> tuple[str, list[str]]:
    """A parent with a table and three children; the last one was KILLED."""
    parent = open_parent(store, "ladder", "ladder", {"rules": "dfa"}, "hash", "a ladder")
    ids = [open_child(store, parent, spec, None, DATASET) for spec in SPECS]
    with Writer(store, folder / "journal") as writer:
        for run_id in ids:
            for step in (1, 2, 3):
                writer.log(run_id, step, {"loss/train": 1 / step, "accuracy/test": 0.1 * step})
        for run_id in ids[:2]:
            writer.finish(run_id)
        writer.finish(ids[2], "KILLED", "stopped")
    for run_id, table in zip(ids, LAYERS, strict=True):
        log_table(store, run_id, table, "diagnostics/layers")
    log_text(store, ids[0], '{"rule": "dfa"}', "checkpoint/spec.json")
    log_table(store, parent, pd.DataFrame({"rule": ["dfa"]}), "ladder")
    weights = folder / "weights.safetensors"
    weights.write_bytes(b"\0" * 100)
    log_artifact_file(store, ids[0], weights, "checkpoint")
    log_text(store, parent, "x" * 200_001, "large.md")
    log_children(store, parent, ids)
    finish(store, parent)
    return parent, ids


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


def first(tmp_path: Path) -> Reader:
    return connect(f"sqlite:///{tmp_path / 'mlflow.db'}")


def by_name(reader: Reader) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Runs, and history with names in place of ids."""
    runs = reader.runs().sort_values("name", ignore_index=True)
    history = reader.history(runs["run_id"])
    names = dict(zip(runs["run_id"], runs["name"], strict=True))
    history["run_id"] = [names[run_id] for run_id in history["run_id"]]
    return runs, history.sort_values(["run_id", "key", "step"], ignore_index=True)


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
    assert run.info.run_name == "ladder"
    assert run.data.params == {"rules": "dfa", "sweep.rules": "dfa"}
    assert set(new["parent_id"]) == {parent}
    children = list(new["run_id"])
    named = json.loads(reader.artifact(parent, "runs.json").read_text())["runs"]
    assert sorted(named) == sorted(children)
    inputs = reader.run(children[0]).inputs
    assert inputs is not None
    assert [i.dataset.digest for i in inputs.dataset_inputs] == ["abc123"]
    tables = {spec: reader.layers(run) for run, spec in zip(children, new["k"], strict=True)}
    for k, table in enumerate(LAYERS):
        again = tables[k].dropna(axis=1, how="all")
        kept = table.columns.drop("copy") if k == 1 else table.columns
        assert_frame_equal(again[kept], table[kept], check_dtype=False)
    assert tables[1]["copy"].tolist()[1] == 0.1
    assert reader.artifact(children[0], "diagnostics/layers.md").is_file()
    assert reader.artifact(parent, "ladder.csv").is_file()


def test_an_export_is_read_in_place_as_the_store_is(exported, tmp_path):
    reader, folder = first(tmp_path), Export(exported)
    (parent,) = folder.parents("ladder")
    runs, known = folder.runs(parent).set_index("run_id"), reader.runs().set_index("run_id")
    common = [name for name in known if name in runs and name not in ("started", "ended")]
    assert_frame_equal(runs.loc[known.index, common], known[common], check_dtype=False)
    assert_frame_equal(folder.history(known.index), reader.history(known.index))
    for run_id in known.index:
        table = reader.layers(run_id)
        own = folder.layers(run_id).reset_index(drop=True)[table.columns].astype(str)
        assert_frame_equal(own, table.astype(str), check_dtype=False)
    with pytest.raises(CreditError, match="no artifact"):
        folder.layers(parent)


def test_exports_with_a_table_of_layers_per_run_are_imported(exported, other):
    """As they were before all tables were one."""
    tables = pd.read_parquet(exported / "layers.parquet")
    (exported / "layers.parquet").unlink()
    for run_id, table in tables.groupby("run_id"):
        folder = exported / "artifacts" / str(run_id) / "diagnostics"
        folder.mkdir(parents=True)
        table.drop(columns="run_id").to_csv(folder / "layers.csv", index=False)
    in_place = Export(exported)
    import_into(other, exported)
    reader = connect()
    for run in reader.runs().itertuples():
        table = reader.layers(str(run.run_id))
        assert len(table) == len(LAYERS[run.k])
        assert_frame_equal(table, in_place.layers(str(run.imported_from)))


def test_export_is_small_text_and_values_only(exported):
    names = {path.name for path in exported.rglob("*") if path.is_file()}
    assert names == {
        "runs.json",
        "metrics.parquet",
        "layers.parquet",
        "ladder.csv",
    }
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


def test_runs_that_name_only_one_parent_are_read_and_imported_as_before(
    tracking_store, _empty_store, tmp_path, monkeypatch
):
    """As in stores and exports from before runs were marked by every parent that uses them."""
    store = open_store()
    parent, ids = fill(store, tmp_path)
    for run_id in ids:
        store.client.delete_tag(run_id, f"credit.sweep.{parent}")
    assert set(connect().runs(parent=parent)["run_id"]) == set(ids)
    folder = export(connect(), [parent, *ids], tmp_path / "export")
    damage(folder, lambda document: [run.pop("sweeps") for run in document["runs"]])
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'new.db'}")
    (tmp_path / "new.db").write_bytes(_empty_store.read_bytes())
    import_into(open_store(), folder)
    (parent,) = connect().parents()["run_id"]
    marked = connect().runs(filter=f"tags.`credit.sweep.{parent}` = '1'")
    assert len(marked) == len(ids)


def test_second_import_creates_nothing(exported, other):
    import_into(other, exported)
    before = by_name(connect())
    assert import_into(other, exported)[:2] == (0, 4)
    for old, new in zip(before, by_name(connect()), strict=True):
        assert_frame_equal(old, new)


def test_import_into_the_store_it_came_from_creates_nothing(exported):
    assert import_into(open_store(), exported)[:2] == (0, 4)


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
    open_child(other, killed.parent_id or "", SPECS[2], killed)
    assert import_into(other, exported)[:2] == (0, 4)
    assert connect().run(killed.run_id).info.status == "RUNNING"


def test_imported_finished_runs_count_as_finished(exported, other):
    import_into(other, exported)
    found = find_children(other, [spec.spec_hash for spec in SPECS])
    assert [found[spec.spec_hash].finished for spec in SPECS] == [True, True, False]
    assert not any(run.busy for run in found.values())


def test_an_import_can_be_exported_further(exported, other, tmp_path, _empty_store, monkeypatch):
    import_into(other, exported)
    time.sleep(0.002)
    again = export(connect(), connect().runs()["run_id"], tmp_path / "again")
    old, new = (json.loads((folder / "runs.json").read_text()) for folder in (exported, again))
    assert old == new
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    assert import_into(open_store(), again)[:2] == (0, 4)  # home again: all there already


def damage(folder: Path, change) -> None:
    path = folder / "runs.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


CHILD = 1
MALFORMED = {
    "no runs": lambda d: d.pop("runs"),
    "a list": lambda d: d.update(runs=[[]]),
    "other schema": lambda d: d.update(schema="99"),
    "path as id": lambda d: d["runs"][CHILD].update(run_id="../../../../etc"),
    "no status": lambda d: d["runs"][CHILD].pop("status"),
    "odd status": lambda d: d["runs"][CHILD].update(status="RUNNING"),
    "text as time": lambda d: d["runs"][CHILD].update(start="noon"),
    "number as tag": lambda d: d["runs"][CHILD]["tags"].update(x=1),
    "other parameters": lambda d: d["runs"][CHILD]["params"].update(lr="0.5"),
    "impossible value": lambda d: d["runs"][CHILD]["params"].update(k="-1"),
    "half a dataset": lambda d: d["runs"][CHILD].update(dataset={"name": "x"}),
    "run lost": lambda d: d["runs"].pop(),
}


@pytest.mark.parametrize("change", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_runs_are_one_clear_line_and_create_nothing(change, exported, other):
    damage(exported, change)
    with pytest.raises(CreditError) as error:
        import_into(other, exported)
    assert "\n" not in str(error.value)
    assert connect().runs().empty


def test_malformed_files_are_one_clear_line_and_create_nothing(exported, other, tmp_path):
    with pytest.raises(CreditError, match="name the folder of an export"):
        import_into(other, tmp_path / "absent")
    for name in ("layers.parquet", "metrics.parquet"):
        whole = (exported / name).read_bytes()
        for damaged in (b"", b"words", whole[: len(whole) // 2]):
            (exported / name).write_bytes(damaged)
            with pytest.raises(CreditError, match="not a whole export"):
                import_into(other, exported)
        (exported / name).write_bytes(whole)
    pd.DataFrame({"run_id": ["a"]}).to_parquet(exported / "metrics.parquet")
    with pytest.raises(CreditError, match="not a whole export"):
        import_into(other, exported)
    (exported / "runs.json").write_text("{")
    with pytest.raises(CreditError, match="not a whole export"):
        import_into(other, exported)
    assert connect().runs().empty
