"""Pickles and rules in exports are not run, and what is shown of any name is text."""

import pickle
import re
import sys
from xml.etree import ElementTree

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from credit.report import publish
from credit.tracking.artifacts import harmless, markdown
from credit.tracking.journal import Journal
from credit.tracking.marks import NOTE, REASON
from credit.tracking.portable import export, import_into
from credit.tracking.reader import connect
from tests.commands import entry
from tests.tracking.exports import CHILD, changed, damage, not_imported, with_spec
from tests.traps import TRAPS, Payload, pickled

HOSTILE = "<img src=x onerror=alert(1)>|[x](javascript:alert(2))\n`\x1b[2J&lt;\\|"


def test_a_pickle_as_a_journal(tmp_path, trap):
    (tmp_path / "run.jsonl").write_bytes(pickled(trap) + b"\n")
    (tmp_path / "run.sent").write_bytes(pickled(trap, 0))
    journal = Journal(tmp_path, "run")
    assert not journal.complete and not journal.steps


def test_a_pickle_in_an_export(exported, other, trap):
    run = next((exported / "artifacts").iterdir())
    (run / "checkpoint").mkdir()
    weights = run / "checkpoint" / "weights.safetensors"
    tables = [exported / f"{name}.parquet" for name in ("metrics", "layers")]
    for path in (exported / "runs.json", *tables, run / "x.csv", weights):
        for name, made in TRAPS.items():
            with changed(path, made(trap)):
                if path.suffix == ".csv" and name == "text pickle":
                    continue  # it is text, and stays what it is
                not_imported(other, exported, path.name)
    assert connect().runs().empty
    (run / "x.csv").write_bytes(pickled(trap, 0))
    import_into(other, exported)
    assert len(connect().runs()) == 3


def test_parquet_types_that_carry_a_pickle(exported, other, trap):
    """What older pyarrow unpickled: an extension type of Python, in the file's schema."""
    metadata = {
        b"ARROW:extension:name": b"arrow.py_extension_type",
        b"ARROW:extension:metadata": pickle.dumps(Payload(trap)),
    }
    for path in (exported / "metrics.parquet", exported / "layers.parquet"):
        table = pq.read_table(path)
        fields = [field.with_metadata(metadata) for field in table.schema]
        schema = pa.schema(fields, metadata={b"pandas": pickle.dumps(Payload(trap))})
        pq.write_table(table.cast(schema), path)
    import_into(other, exported)
    assert len(connect().runs()) == 3


def test_a_rule_in_an_export_is_not_imported(exported, other, tmp_path, monkeypatch, trap):
    (tmp_path / "evil_rule.py").write_text(f"open({str(trap)!r}, 'w').close()\nRule = object\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    def rename(document):
        for record in document["runs"]:
            if record["parent_id"]:
                with_spec(record, rule="evil_rule:Rule", credit_reduction="sum")

    damage(exported, rename)
    import_into(other, exported)
    reader = connect()
    assert set(reader.runs()["rule"]) == {"evil_rule:Rule"}
    parent = reader.parents("ladder").iloc[0]["run_id"]
    publish(other, parent)
    export(reader, reader.runs()["run_id"], tmp_path / "again")
    assert "evil_rule" not in sys.modules
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    child = reader.children(parent)[0]
    for words in (["remeasure", "--parent", parent], ["audit", "--run_id", child]):
        done = entry(*words)
        assert done.returncode == 1 and "--trust_rules evil_rule:Rule" in done.stderr


def cells(line: str) -> list[str]:
    """A table row's cells as GitHub finds them: a backslash escapes what follows it."""
    return [cell.strip() for cell in re.findall(r"\|((?:\\.|[^|\\])*)(?=\|)", line)]


def test_a_table_shows_hostile_names_as_text():
    frame = pd.DataFrame({HOSTILE: [HOSTILE], "n": [3], "dfa | fa": ["back\\|slash"]})
    lines = markdown(frame).splitlines()
    assert len(lines) == 3 and [len(cells(line)) for line in lines] == [3, 3, 3]
    text = "\n".join(lines)
    assert not re.search(r"<|\x1b|(?<!\\)\[|(?<!\\)`", text)
    assert "&lt;img src=x onerror=alert(1)>" in text and "&amp;lt;" in text
    assert cells(lines[2])[2] == r"back\\\|slash"
    plain = pd.DataFrame({"rule": ["vector_field"], "Γ, l < L": ["−.01 ± .02"]})
    assert markdown(plain).splitlines()[2] == "| vector_field | −.01 ± .02 |"


def test_notes_show_hostile_names_as_text(exported, other):
    def write(document):
        document["runs"][CHILD]["tags"].update({NOTE: HOSTILE, REASON: "a < b\n\x1b[2J"})
        document["runs"][CHILD]["name"] = "<b>|dfa"

    damage(exported, write)
    import_into(other, exported)
    (row,) = connect().runs(filter="attributes.run_name = '<b>|dfa'").to_dict("records")
    tags = connect().run(row["run_id"]).data.tags
    assert not re.search(r"<|\x1b|\[", tags[NOTE])
    assert "&lt;img src=x onerror=alert(1)>" in tags[NOTE]
    assert row["reason"] == "a < b\n [2J"
    assert harmless(tags[NOTE]) == tags[NOTE]


def test_the_report_of_an_imported_ladder_has_no_markup(exported, other):
    damage(exported, lambda document: document["runs"][0].update(name="<script>alert(1)</script>"))
    import_into(other, exported)
    reader = connect()
    parent = reader.parents("ladder").iloc[0]["run_id"]
    assert "<script" not in publish(other, parent)
    assert "<" not in reader.artifact(parent, "table.md").read_text()
    root = ElementTree.parse(reader.artifact(parent, "figure.svg")).getroot()
    names = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert not names & {"script", "foreignObject", "a", "image"}
