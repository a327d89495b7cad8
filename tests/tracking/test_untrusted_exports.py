"""Exports from anyone: malformed or harmful ones create nothing, and no file leaves its folder."""

import json
import os
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from credit.tracking.marks import IMPORTED_FROM, NOTE
from credit.tracking.portable import _inside, export, import_into
from credit.tracking.reader import connect
from credit.tracking.writer import log_text, open_store
from tests.tracking.exports import CHILD, changed, damage, not_imported, with_spec
from tests.traps import refused


def test_a_pipe_or_a_bomb_in_an_export_is_told_at_once(exported, other):
    one = pa.table({"run_id": ["x"], "key": ["a"], "step": [1], "value": [0.0], "timestamp": [1]})
    many = pa.concat_tables([one] * 1000).combine_chunks()
    whole = (exported / "metrics.parquet").read_bytes()
    with pq.ParquetWriter(exported / "metrics.parquet", one.schema, compression="zstd") as file:
        for _ in range(11):
            file.write_table(pa.concat_tables([many] * 1000), row_group_size=10**6)
    not_imported(other, exported, "11000000")
    (exported / "metrics.parquet").write_bytes(whole)
    for name in ("layers.parquet", "metrics.parquet", "runs.json"):
        (exported / name).unlink()
        os.mkfifo(exported / name)
        not_imported(other, exported, name)
    assert connect().runs().empty


def test_runs_json_that_is_odd_as_a_whole(exported, other):
    text = (exported / "runs.json").read_text()
    record = json.loads(text)["runs"][CHILD]
    damage(exported, lambda document: document["runs"].append(record))
    not_imported(other, exported, "twice")
    for content in (
        b"{",
        b"[" * 200_000,
        b"\xff\xfe",
        b'{"schema": "1", "runs": [' + b"9" * 5000 + b"]}",
    ):
        (exported / "runs.json").write_bytes(content)
        not_imported(other, exported, "runs.json")
    assert connect().runs().empty


def test_links_in_an_export_are_not_followed(exported, other, tmp_path):
    secret = tmp_path / "secret.csv"
    secret.write_text("mine")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "more.md").write_text("mine, too")
    artifacts = exported / "artifacts"
    run = next(artifacts.iterdir())
    kept = tmp_path / "kept"
    for name, target in (
        (run / "layers.csv", secret),
        (run / "lost.csv", tmp_path / "nowhere"),
        (run / "folder", tmp_path / "secrets"),
        (run / "deep" / "up.md", Path("../../../../secret.csv")),
    ):
        name.parent.mkdir(exist_ok=True)
        name.symlink_to(target)
        not_imported(other, exported, str(name), "is a link", "delete it")
        name.unlink()
    for folder in (run, artifacts, *(exported / f"{n}.parquet" for n in ("metrics", "layers"))):
        folder.rename(kept)
        folder.symlink_to(kept)
        not_imported(other, exported, str(folder), "is a link")
        folder.unlink()
        kept.rename(folder)
    assert connect().runs().empty
    import_into(other, exported)
    assert len(connect().runs()) == 3


def test_artifacts_that_no_export_has(exported, other):
    run = next((exported / "artifacts").iterdir())
    for name in ("page.html", "weights.safetensors", "module.py", "large.csv"):
        with changed(run / name, b"x" * (300_000 if name == "large.csv" else 3)):
            not_imported(other, exported, name, "delete it")
    assert connect().runs().empty


def test_an_export_writes_into_its_folder_only(exported, tmp_path):
    reader, store = connect(), open_store()
    run_id = reader.runs()["run_id"].iloc[0]
    log_text(store, run_id, "fine", "..two dots.md")  # a name, not a way out
    export(reader, [run_id], tmp_path / "named")
    assert (tmp_path / "named" / "artifacts" / run_id / "..two dots.md").read_text() == "fine"
    outside = tmp_path / "outside"
    outside.mkdir()
    for name in ("runs.json", "metrics.parquet", "layers.parquet", "artifacts"):
        folder = tmp_path / f"with {name}"
        folder.mkdir()
        (folder / name).symlink_to(outside / name if "." in name else outside)
        refused(lambda f=folder: export(reader, [run_id], f), name, "is a link")
    for name in ("../../../evil", "/tmp/evil", "A" * 32):
        store.client.set_tag(run_id, IMPORTED_FROM, name)
        refused(lambda: export(reader, [run_id], tmp_path / "new"), run_id, "no run id")
    assert list(outside.iterdir()) == [] and not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["../x.md", "../../x", "/etc/x.md", "a/../../x.md", "link/x.md"])
def test_artifact_names_that_lead_out(name, tmp_path):
    folder = tmp_path / "artifacts"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path)
    refused(lambda: _inside(folder, name), "leads out")
    assert _inside(folder, "a/b.md") == folder / "a" / "b.md"


POISON = {
    "no runs": lambda d, r: d.pop("runs"),
    "a list": lambda d, r: d.update(runs=[[]]),
    "other schema": lambda d, r: d.update(schema="99"),
    "path as id": lambda d, r: r.update(run_id="../../../../etc"),
    "no status": lambda d, r: r.pop("status"),
    "odd status": lambda d, r: r.update(status="RUNNING"),
    "text as time": lambda d, r: r.update(start="noon"),
    "number as tag": lambda d, r: r["tags"].update(x=1),
    "other parameters": lambda d, r: r["params"].update(lr="0.5"),
    "impossible value": lambda d, r: r["params"].update(k="-1"),
    "half a dataset": lambda d, r: r.update(dataset={"name": "x"}),
    "run lost": lambda d, r: d["runs"].pop(),
    "a tag that claims a run": lambda d, r: r["tags"].update({"credit.owner": "host:x:y"}),
    "a heartbeat": lambda d, r: r["tags"].update({"credit.heartbeat": "soon"}),
    "a parent tag": lambda d, r: r["tags"].update({"mlflow.parentRunId": "x"}),
    "a path as parent": lambda d, r: r.update(parent_id="../../x"),
    "an escape sequence as name": lambda d, r: r.update(name="\x1b]0;evil\x07"),
    "a line break as parameter": lambda d, r: with_spec(r, rule="dfa\n"),
    "HTML as rule": lambda d, r: with_spec(r, rule="<script>alert(1)</script>"),
    "a formula as rule": lambda d, r: with_spec(r, rule="$\\frac$"),
    "a path as parameter": lambda d, r: (
        r["tags"].pop("credit.spec_hash"),
        r["params"].update({"../x": "1"}),
    ),
    "a hash without its run": lambda d, r: r.update(
        parent_id=None, params={"rule": "x", "k": "many"}
    ),
    "a time after all dates": lambda d, r: r.update(end=10**18),
    "a time too large for the store": lambda d, r: r.update(start=10**40),
    "true as time": lambda d, r: r.update(start=True),
    "NaN as time": lambda d, r: r.update(start=float("nan")),
    "a very long text": lambda d, r: r["tags"].update({NOTE: "x" * 10_000}),
    "a parameter that the store refuses": lambda d, r: (
        r["tags"].pop("credit.spec_hash"),
        r["params"].update({"a/./b": "1"}),
    ),
    "a dataset's name of 501 characters": lambda d, r: r.update(
        dataset={"name": "x" * 501, "digest": "1", "source": "y"}
    ),
    "a run's name of 251 characters": lambda d, r: r.update(name="x" * 251),
    "a number of 2**63": lambda d, r: r["params"].update(seed=str(2**63)),
    "an odd sweep": lambda d, r: r.update(sweeps=["../x"]),
    "a number as digest": lambda d, r: r.update(dataset={"name": "x", "digest": 1, "source": "y"}),
}


def test_runs_that_are_malformed_or_would_harm_the_store_create_nothing(exported, other):
    path = exported / "runs.json"
    for poison in POISON.values():
        with changed(path, path.read_bytes()):
            damage(exported, lambda document, p=poison: p(document, document["runs"][CHILD]))
            not_imported(other, exported, str(exported), "runs.json")
    assert connect().runs().empty and connect().parents().empty


HARMFUL = {
    "metrics.parquet": [
        *({"key": key} for key in ("../../etc/passwd", "/etc/passwd", "a/../b", "a" * 300, "")),
        *({"key": key} for key in ("<script>alert(1)</script>", "a\x1b[2J")),
        *({"run_id": "../../x"}, {"timestamp": -5}, {"timestamp": 2**62}),
    ],
    "layers.parquet": [
        *({"run_id": run_id} for run_id in ("../../x", None)),
        *({"status": status} for status in ("a\x1b[2J", "a\n| b |", "x" * 10_000)),
        *({name: "x"} for name in ("<script>", "a/../b", "")),
    ],
}


def test_tables_that_are_malformed_or_hostile_create_nothing(exported, other, tmp_path):
    not_imported(other, tmp_path / "absent", "absent")
    for name, harmful in HARMFUL.items():
        path = exported / name
        whole, frame = path.read_bytes(), pd.read_parquet(path)
        for damaged in (b"", b"words", whole[: len(whole) // 2]):
            with changed(path, damaged):
                not_imported(other, exported, name)
        tables = [pd.DataFrame({"run_id": ["x"]})]
        for columns in harmful:  # in the first row
            first = {n: [v, *frame.get(n, frame["run_id"]).iloc[1:]] for n, v in columns.items()}
            tables.append(frame.assign(**first))
        for table in tables:
            with changed(path, b""):
                table.to_parquet(path, index=False)
                not_imported(other, exported, name)
    assert connect().runs().empty
