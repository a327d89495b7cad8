"""The HTML report of a parent run: whole, self-contained, traceable, never markup."""

import json
import re
import runpy
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from credit import report
from credit.report import page
from credit.spec import RunSpec
from credit.sweep.sweep import Sweep, resolve, run
from credit.tracking.artifacts import visible
from credit.tracking.marks import NOTE, REASON
from credit.tracking.reader import connect
from credit.tracking.store import open_store
from credit.tracking.writer import Store

ROOT = Path(__file__).parents[2]
VOID = {"meta", "br", "path", "use", "rect", "image", "circle", "line", "polygon"}
HOSTILE = (
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>'",
    "</style></title><script>alert(1)</script>",
    "{{ 7 * 7 }}{% raw %}",
    "\u202egnirts\x1b[2J\x00",
    "名前 🦆 naïve & <b>bold</b>",
)
SMALL = {"dataset": "digits", "width": 8, "epochs": 1, "train_samples": 100, "measure_samples": 16}


class Page(HTMLParser):
    """A report taken apart; elements that are not closed in order are an error."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self._open.pop() == tag

    def handle_data(self, data):
        if not self._open or self._open[-1] != "style":
            self.text.append(data)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())

    def values(self, name: str) -> list[str]:
        return [value for own, value in self.attributes if own == name]


@pytest.fixture
def ladder(tracking_store) -> tuple[Store, str]:
    store = open_store()
    specs = [
        resolve(RunSpec(**SMALL, depth=2, directions=2, device="cpu", k=k, rule=rule))
        for rule in ("bp", "dfa")
        for k in (0, 2)
    ]
    params = {"rules": "bp,dfa", "ks": "0,2", **specs[0].to_params()}
    plan = Sweep("ladder", "ladder digits", specs, params, "does it help?")
    return store, run(plan, store).parent_id


def report_of(store: Store, parent: str) -> Page:
    path = connect(store.uri).artifact(parent, report.REPORT)
    return Page(path.read_text(encoding="utf-8"))


def test_a_report_is_whole_and_needs_nothing_else(ladder):
    store, parent = ladder
    text = report.publish(store, parent)
    assert report.REPORT in text
    found = report_of(store, parent)
    headings = [tag for tag in found.tags if re.fullmatch(r"h\d", tag)]
    assert headings[0] == "h1" and set(headings[1:]) == {"h2"}
    assert not {"script", "link", "iframe", "object", "img", "form"} & set(found.tags)
    assert not [name for name, _ in found.attributes if name.startswith("on")]
    linked = [v for name in ("href", "src", "xlink:href") for v in found.values(name)]
    assert linked and all(v.startswith(("#", "data:image/")) for v in linked)
    ids = found.values("id")
    assert len(ids) == len(set(ids))
    reader = connect(store.uri)
    answer = reader.run(parent).data.tags["credit.answer"]
    assert answer.startswith(text.split("\n")[1].rstrip(")"))  # first in the terminal
    outcome = answer.partition("; reduced")[0]  # what follows stands in the title
    assert found.words.index(outcome) < found.words.index("Set-up")  # and in the report
    assert reader.run(parent).data.tags[NOTE].startswith(f"**{answer}**")  # and on the page
    for run_id in reader.runs(parent=parent)["run_id"]:
        assert run_id in found.words
    for verdict in json.loads(reader.artifact(parent, "verdicts.json").read_text()):
        assert verdict["reason"] in found.words
    for mean in pd.read_csv(reader.artifact(parent, "table.csv"))["accuracy"]:
        assert f"{mean:.3f}".removeprefix("0") in found.words
    assert "credit ladder" in found.words


def test_what_is_shown_is_text(ladder):
    store, parent = ladder
    ids = connect(store.uri).children(parent)
    for run_id, name in zip(ids, HOSTILE, strict=False):
        store.client.update_run(run_id, name=name)
        store.client.set_tag(run_id, REASON, name)
    store.client.update_run(parent, name="".join(HOSTILE[:4]))
    store.client.set_tag(ids[-1], REASON, " ".join(HOSTILE[4:]))
    report.publish(store, parent)
    found = report_of(store, parent)
    assert not {"script", "img", "b"} & set(found.tags)
    assert not [n for n, _ in found.attributes if n.startswith("on")]
    for own in HOSTILE:
        assert " ".join(visible(own).split()) in found.words
    assert not re.search(r"[\x00-\x08\x1b\u202e]", found.words)


def test_a_report_that_cannot_be_built_is_told_after_all_else_is_logged(
    ladder, monkeypatch, capsys
):
    store, parent = ladder
    monkeypatch.setattr(page, "command", lambda *_: [][1])
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store.uri)
    monkeypatch.setattr("sys.argv", ["report", "--parent", parent])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / "entrypoints" / "report.py"), run_name="__main__")
    out, err = capsys.readouterr()
    (line,) = err.strip().splitlines()
    assert ended.value.code == 1 and "IndexError" in line and f"--parent {parent}" in line
    assert "D3" in out and "report  " not in out
    reader = connect(store.uri)
    for name in ("table.csv", "figure.svg", "verdicts.json"):
        assert reader.artifact(parent, name).stat().st_size > 0
    assert "report.html" not in reader.run(parent).data.tags[NOTE]
    monkeypatch.undo()
    report.publish(store, parent)
    assert "report.html" in reader.run(parent).data.tags[NOTE]
