"""The HTML report of a parent run: whole, self-contained, traceable, never markup."""

import dataclasses
import json
import re
import runpy
import shlex
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import cast

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

from credit import cli, grid, publish
from credit.analysis import appendix
from credit.analysis.controls import with_controls
from credit.analysis.results import Results
from credit.measures import perturbation, validity
from credit.presets import PRESETS
from credit.report import caveats, commands, controls, glossary, page
from credit.report.grid import MOST_COLUMNS, Link, of_frame, of_rows, parts
from credit.report.origin import origin_of
from credit.report.settings import constant, varying
from credit.report.svg import inline
from credit.spec import RunSpec
from credit.sweep import Sweep, resolve, run
from credit.tracking.artifacts import visible
from credit.tracking.marks import COMMIT, DIRTY, NOTE, REASON
from credit.tracking.portable import import_into
from credit.tracking.reader import Reader, connect
from credit.tracking.store import open_store
from credit.tracking.writer import Store
from tests import test_analysis
from tests.test_entrypoints import TINY, defaults_of

ROOT = Path(__file__).parent.parent
VOID = {"meta", "br", "path", "use", "rect", "image", "circle", "line", "polygon"}
HOSTILE = (
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>'",
    "</style></title><script>alert(1)</script>",
    "{{ 7 * 7 }}{% raw %}",
    "\u202egnirts\x1b[2J\x00",
    "名前 🦆 naïve & <b>bold</b>",
    "$\\frac{1}{",
)
SMALL = {"dataset": "digits", "width": 8, "epochs": 1, "train_samples": 100, "measure_samples": 16}


class Page(HTMLParser):
    """A report taken apart; elements that are not closed in order are an error."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text: list[str] = []
        self.captions: list[bool] = []  # of each table, whether it has one
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag == "table":
            self.captions.append(False)
        if tag == "caption":
            self.captions[-1] = True
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

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
        return [value for _, own, value in self.attributes if own == name]


def specs(**more) -> list[RunSpec]:
    return [
        resolve(
            RunSpec(**SMALL, depth=2, directions=2, device="cpu", **{"k": k, "rule": rule, **more})
        )
        for rule in ("bp", "dfa")
        for k in (0, 2)
    ]


@pytest.fixture
def ladder(tracking_store) -> tuple[Store, str]:
    store = open_store()
    params = {"rules": "bp,dfa", "ks": "0,2", **specs()[0].to_params()}
    plan = Sweep("ladder", "ladder digits", specs(), params, "does it help?")
    return store, run(plan, store).parent_id


def report_of(store: Store, parent: str) -> str:
    return connect(store.uri).artifact(parent, publish.REPORT).read_text(encoding="utf-8")


def test_a_report_is_whole_and_needs_nothing_else(ladder):
    store, parent = ladder
    assert publish.REPORT in publish.publish(store, parent)
    text = report_of(store, parent)
    found = Page(text)
    assert len(text) < 2_000_000
    headings = [tag for tag in found.tags if re.fullmatch(r"h\d", tag)]
    assert headings[0] == "h1" and set(headings[1:]) == {"h2"}
    for name in ("Question", "Set-up", "Result", "Verdicts", "Interpretation", "Controls"):
        assert name in found.text
    for name in ("Caveats", "Settings", "Provenance", "How to reproduce"):
        assert name in found.text
    assert found.captions and all(found.captions)
    assert not {"script", "link", "iframe", "object", "img", "form"} & set(found.tags)
    assert not [name for _, name, _ in found.attributes if name.startswith("on")]
    linked = [v for name in ("href", "src", "xlink:href") for v in found.values(name)]
    assert linked and all(v.startswith(("#", "data:image/")) for v in linked)
    ids = found.values("id")
    assert len(ids) == len(set(ids))
    style = " ".join(found.values("clip-path") + found.values("style"))
    targets = re.findall(r"url\(#([^)]+)\)", style) + [v[1:] for v in linked if v[0] == "#"]
    assert set(targets) <= set(ids)
    assert "url(http" not in text and "@import" not in text
    (label,) = [v for tag, name, v in found.attributes if (tag, name) == ("svg", "aria-label")]
    assert "One seed (n = 1), so no error bars." in label


def test_every_number_verdict_and_run_is_there(ladder):
    store, parent = ladder
    publish.publish(store, parent)
    words = Page(report_of(store, parent)).words
    reader = connect(store.uri)
    runs = reader.runs(parent=parent)
    for run_id in runs["run_id"]:
        assert words.count(run_id) == 2  # of its number, and by itself
    for verdict in json.loads(reader.artifact(parent, "verdicts.json").read_text()):
        assert verdict["reason"] in words
    for mean in pd.read_csv(reader.artifact(parent, "table.csv"))["mean"]:
        assert f"{mean:.3f}".removeprefix("0") in words
    assert parent in words and store.uri in words and "mlflow ui --backend-store-uri" in words
    assert "a = −g" in words and "passed back unchanged" in words
    assert "One seed (n = 1)" in words and "Asked for otherwise than in the published" in words
    assert "python -m entrypoints.ladder" in words and f"make report PARENT={parent}" in words


def test_what_is_shown_is_text(ladder):
    store, parent = ladder
    ids = connect(store.uri).children(parent)
    for run_id, name in zip(ids, HOSTILE, strict=False):
        store.client.update_run(run_id, name=name)
        store.client.set_tag(run_id, NOTE, name)
        store.client.set_tag(run_id, REASON, name)
    store.client.update_run(parent, name="".join(HOSTILE[:4]))
    store.client.set_tag(ids[-1], REASON, " ".join(HOSTILE[4:]))
    publish.publish(store, parent)
    found = Page(report_of(store, parent))
    assert not {"script", "img", "b"} & set(found.tags)
    assert not [n for _, n, _ in found.attributes if n.startswith("on")]
    words = found.words
    for own in HOSTILE:
        assert " ".join(visible(own).split()) in words
    assert not re.search(r"[\x00-\x08\x1b\u202e]", words)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(texts=st.lists(st.text(min_size=1).filter(lambda t: visible(t).strip()), min_size=2))
def test_a_table_of_any_texts_shows_them(texts):
    macros = page.environment().get_template("table.html").module
    links = [Link(text, "https://host/#/" + re.sub(r"\W", "", text)) for text in texts]
    grid = of_rows(texts[0], [*texts, "links"], [[*texts, links]])
    found = Page(str(macros.table(grid)))  # pyright: ignore[reportAttributeAccessIssue]
    assert set(found.tags) == {
        *("div", "table", "caption", "span", "thead", "tbody", "tr", "th", "td", "a")
    }
    for text in texts:
        assert " ".join(visible(text).split()) in found.words


@pytest.mark.filterwarnings("ignore:Glyph")
def test_a_figure_with_any_title_is_inline_svg():
    for title in HOSTILE:
        figure = Figure()
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], label="line")
        axes.set_title(title, parse_math=False)
        found = Page(inline(figure, visible(title), "f1-"))
        assert found.tags[0] == "svg" and not {"script", "style", "metadata"} & set(found.tags)
        assert all(own.startswith("f1-") for own in found.values("id"))
        assert visible(title) in found.values("aria-label")


def test_a_report_that_cannot_be_built_is_told_after_all_else_is_logged(
    ladder, monkeypatch, capsys
):
    store, parent = ladder
    monkeypatch.setattr(page.commands, "command", lambda *_: [][1])
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store.uri)
    monkeypatch.setattr("sys.argv", ["report", "--parent", parent])
    main = runpy.run_path(str(ROOT / "entrypoints" / "report.py"))["main"]
    with pytest.raises(SystemExit) as ended:
        cli.run(main)
    out, err = capsys.readouterr()
    (line,) = err.strip().splitlines()
    assert ended.value.code == 1 and "IndexError" in line and f"--parent {parent}" in line
    assert "D3" in out and "report  " not in out
    reader = connect(store.uri)
    for name in ("table.csv", "figure.svg", "verdicts.json"):
        assert reader.artifact(parent, name).stat().st_size > 0
    note = reader.run(parent).data.tags[NOTE]
    assert "Table of runs" in note and "report.html" not in note
    monkeypatch.undo()
    publish.publish(store, parent)
    assert "report.html" in reader.run(parent).data.tags[NOTE]


def test_a_single_run_has_a_short_report(tracking_store):
    store, spec = open_store(), specs()[3]
    parent = run(Sweep("train", f"train {spec.name}", [spec], spec.to_params()), store).parent_id
    assert "report  " in publish.publish(store, parent)
    words = Page(report_of(store, parent)).words
    assert "accuracy/test" in words and "A single run is compared with nothing." in words
    assert "python -m entrypoints.train" in words and "--rule dfa" in words


def test_a_sweep_without_a_finished_run_has_a_report(tracking_store):
    store = open_store()
    parent = run(Sweep("ladder", "ladder", specs()), store).parent_id
    for run_id in connect(store.uri).children(parent):
        store.client.set_terminated(run_id, "FAILED")
    publish.publish(store, parent)
    words = Page(report_of(store, parent)).words
    assert "No run has finished" in words and "4 of 4 runs failed" in words


@pytest.mark.slow
def test_entry_points_leave_reports(tracking_store):
    def call(script: str, *words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", f"entrypoints.{script}", *words],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    call("ladder", *TINY.split(), "--ks", "0,2", "--rules", "bp,dfa")
    reader = connect()
    parent = reader.parents("ladder").iloc[0]["run_id"]
    before = reader.artifact(parent, publish.REPORT).read_text(encoding="utf-8")
    assert publish.REPORT in call("report", "--parent", parent)
    after = reader.artifact(parent, publish.REPORT).read_text(encoding="utf-8")
    dated = r"Report made [^<]*"
    assert re.sub(dated, "", after) == re.sub(dated, "", before)
    call("frozen_init", "--dataset", "digits", "--width", "8", "--depth", "2", "--samples", "20")
    assert publish.REPORT in call("report", "--kind", "frozen_init")
    own = reader.parents("frozen_init").iloc[0]["run_id"]
    assert "cos(h_L, h_0)" in reader.artifact(own, publish.REPORT).read_text(encoding="utf-8")


@pytest.mark.slow
def test_on_a_server_runs_are_links(server, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    store = open_store()
    parent = run(Sweep("ladder", "ladder", specs()), store).parent_id
    publish.publish(store, parent)
    found = Page(report_of(store, parent))
    pages = {v for v in found.values("href") if not v.startswith("#")}
    base = f"{server.uri}/#/experiments/{store.experiment_id}/runs/"
    ids = [parent, *connect(store.uri).children(parent)]
    assert pages == {base + run_id for run_id in ids}


def made(kind: str, options: dict[str, str]) -> tuple[list[RunSpec], dict[str, str]]:
    """The runs of an experiment with these options, and what its parent logs."""
    chosen = grid.settled(kind, options)
    found = [resolve(spec) for spec in getattr(grid, kind)(chosen)]
    if kind == "frozen_recovery":
        found += [resolve(spec) for spec in grid.frozen_arms(chosen, found)]
    return found, grid.parent_params(chosen, found)


def typed(kind: str, line: str) -> list[str]:
    """Spec hashes of the runs that a command asks for."""
    python, flag, module, *words = shlex.split(line.replace("\\\n", " "))
    assert (python, flag, module) == ("python", "-m", f"entrypoints.{kind}")
    assert len(words) < 24  # not the whole list
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [module, *words])
        found, _ = made(kind, cli.options(None, defaults_of(kind), {}))
    return [spec.spec_hash for spec in found]


def frame(found: list[RunSpec]) -> pd.DataFrame:
    return pd.DataFrame([dataclasses.asdict(spec) for spec in found])


@pytest.mark.parametrize("kind", PRESETS)
def test_the_command_asks_for_the_same_runs(kind):
    defaults = defaults_of(kind)
    for preset in PRESETS[kind]:
        given = {"preset": preset, "epochs": "3"}
        given |= {"dataset": "digits"} if "dataset" in defaults else {}
        rules = ("bp", "dfa", "examples.sign_symmetric:SignSymmetric") if kind == "audit" else ("",)
        for rule in rules:
            wanted, params = made(kind, {**defaults, **given, **({"rule": rule} if rule else {})})
            line = commands.command(kind, params, frame(wanted))
            assert typed(kind, line) == [spec.spec_hash for spec in wanted]
            assert "--credit_reduction" not in line or ":" in rule


@pytest.mark.parametrize("reduction", ["published", "mean", "sum"])
def test_a_command_names_the_reduction_only_where_it_was_asked_for(reduction):
    given = {**defaults_of("ladder"), "credit_reduction": reduction}
    wanted, params = made("ladder", given)
    params["credit_reduction"] = "mean"  # bp's, as parents logged it once
    line = commands.command("ladder", params, frame(wanted))
    assert typed("ladder", line) == [spec.spec_hash for spec in wanted]
    assert ("--credit_reduction" in line) == (reduction != "published")


def test_the_rule_of_another_checkout_is_no_obstacle_to_a_command():
    wanted, params = made("ladder", {**defaults_of("ladder"), "rules": "bp,fa"})
    runs = frame(wanted).replace({"rule": {"fa": "theirs"}})
    line = commands.command("ladder", {**params, "rules": "bp,theirs"}, runs)
    assert "--rules bp,theirs" in line


def test_an_option_that_a_preset_has_got_since_is_as_the_runs_have_it():
    given = {**defaults_of("method_comparison"), "sigma_relative": "false", "device": "cpu"}
    wanted, params = made("method_comparison", given)
    del params["sigma_relative"], params["device"]
    line = commands.command("method_comparison", {**params, "preset": "gone"}, frame(wanted))
    assert "--preset" not in line and "--sigma_relative false" in line
    assert typed("method_comparison", line) == [spec.spec_hash for spec in wanted]


STAGED = ("online_scan", "frozen_recovery")  # name further runs when the first are done


@pytest.mark.slow
@pytest.mark.parametrize("folder", sorted(p.parent for p in ROOT.glob("results/*/runs.json")))
def test_the_commands_of_the_results_ask_for_their_runs(folder, tracking_store):
    import_into(open_store(), folder)
    reader, kind = connect(), folder.name
    parent = reader.parents(kind).iloc[0]  # an export may have older sweeps that began its runs
    runs = reader.runs(parent=parent["run_id"])
    line = commands.command(kind, parent["params"], runs)
    assert "--credit_reduction" not in line
    asked, there = set(typed(kind, line)), set(runs["spec_hash"])
    assert there <= asked or (kind == "online_scan" and asked <= there)
    assert kind in STAGED or asked == there


def test_a_command_quotes_what_a_shell_would_run():
    params = {"preset": "quick", "rules": "bp;rm -rf ~", "alpha": "-1"}
    line = commands.command("ladder", params)
    assert "--rules 'bp;rm -rf ~'" in line and "--alpha=-1" in line


def test_caveats_by_hand():
    runs = test_analysis.grid({"bp": {0: [0.4, 0.5], 4: [0.6]}})
    runs["valid/reference"] = [1.0, 0.0, 1.0]
    late = test_analysis.row(0.1, rule="bp", k=4, seed=123, status="FAILED", reason="non-finite")
    whole = pd.concat([runs, pd.DataFrame([late])], ignore_index=True)
    by = ("rule", "k")
    (seeds,) = caveats.seeds(runs, by)
    assert "n = 1 to 2 seeds" in seeds and "± 71%" in seeds and "1 of 2 stand on one" in seeds
    (left,) = caveats.unfinished(whole, runs)
    assert left == "1 of 4 runs failed and count nowhere: bp k4 s123 (non-finite)."
    (floor,) = caveats.references(runs)
    assert "In 1 of 3 runs" in floor and "bp k0 s123" in floor
    (one,) = caveats.seeds(runs.iloc[:1], by)
    assert one.startswith("One seed (n = 1)")
    assert caveats.reduced("ladder", {"preset": "published", "ks": "0,1,2,3,4"}) == [
        "The settings are those of the published experiment."
    ]
    (other,) = caveats.reduced("ladder", {"preset": "published", "epochs": "3"})
    assert "epochs = 3 (published: 100)" in other
    (audit,) = caveats.reduced("audit", {"preset": "quick", "rule": "my:Rule", "controls": "none"})
    assert audit == "The settings are those of the published experiment."


def test_settings_by_hand():
    runs = test_analysis.grid({"bp": {0: [0.4], 4: [0.6]}, "fa": {0: [0.3]}}, epochs=7)
    rows = {row[0]: row[1] for row in varying(runs).rows}
    assert rows == {"rule": "bp, fa", "k": "0, 4"}
    same = {row[0]: (row[1], row[2]) for row in constant(runs).rows}
    assert same["epochs"] == ("7", "changed") and same["lr"] == ("0.001", "")
    assert set(rows) | set(same) == {f.name for f in dataclasses.fields(RunSpec)}


def test_controls_by_hand():
    metrics = {"alignment/deep": 0.5, "copy/deep": 0.3}
    runs = test_analysis.grid({"bp": {4: [0.6, 0.7]}, "dfa": {4: [0.3, 0.4]}}, **metrics)
    table = controls.copies(runs, ("rule", "k"))
    assert table is not None
    row = dict(zip(table.columns, table.rows[0], strict=True))
    assert row["rule"] == "bp" and row["above it"] == "+.200 ± .000" and row["n"] == "2"
    assert controls.copies(runs.drop(columns="copy/deep"), ("rule", "k")) is None
    ceiling, floor = controls.sentences(runs, ("rule", "k"))
    assert ceiling.startswith("bp: ") and "test accuracy .650, Γ .500" in ceiling
    assert floor.startswith("dfa: ") and "test accuracy .350" in floor


def test_a_reference_is_what_it_reaches_without_any_control():
    rows = [
        {"accuracy": 0.6, "k": 4},
        {"accuracy": 0.2, "k": 0},
        {"accuracy": 0.1, "k": 4, "random_labels": True, "augment": False},
        {"accuracy": 0.3, "k": 4, "penalty": 0.01},
        {"accuracy": 0.15, "k": 0, "embed_trains": False},
        {"accuracy": 0.4, "k": 1, "depth": 1},
    ]
    runs = pd.DataFrame(test_analysis.row(rule="bp", **row) for row in rows)
    named = with_controls(runs)
    (ceiling,) = controls.sentences(named, ("rule", "control"))
    assert "test accuracy .600." in ceiling
    (bare,) = controls.sentences(named.iloc[1:], ("rule", "control"))
    assert bare.startswith("bp: ") and "Here" not in bare


class Tables:
    """A reader of one layer table."""

    def __init__(self, path: Path, table: pd.DataFrame) -> None:
        table.to_csv(path, index=False)
        self.path = path

    def artifact(self, run_id: str, name: str) -> Path:
        return self.path


def test_the_calibration_is_judged_over_valid_layers(tmp_path):
    assert validity.OK == controls.OK and perturbation.RESOLVED == controls.RESOLVED
    table = pd.DataFrame(
        {
            "status": ["reference_at_floor", "ok", "ok"],
            "alignment_g": [0.2, 1.0, 1.0],
            "alignment_neg_g": [-0.2, -1.0, -0.99],
            "alignment_random": [0.5, 0.04, -0.03],
            "rho_status": ["ok", "unresolved", "unresolved"],
            "rho_g": [1.0, 0.5, 0.5],
            "nudge_status": ["ok", "ok", "ok"],
            "nudge_g": [0.1, -0.1, -0.2],
            "nudge_neg_g": [0.1, 0.1, 0.0],
        }
    )
    runs = pd.DataFrame(
        [{"run_id": "a", "dataset": "cifar10", "width": 256, "measure_samples": 1024}]
    )
    reader = cast(Reader, Tables(tmp_path / "layers.csv", table))
    found = controls.calibration(reader, runs)
    assert found is not None and found.columns[2] == "asked for"
    assert [(*row[:3], *row[-2:]) for row in found.rows] == [
        ("a = g", "Γ", "1 ± 0.001", "2 of 3", "pass"),
        ("a = −g", "Γ", "−1 ± 0.001", "2 of 3", "fail"),
        ("random", "Γ", "0 ± 0.05", "2 of 3", "pass"),
        ("a = g", "ρ", "1 ± 0.1", "0 of 3", "undefined"),
        ("a = g", "nudge", "below 0", "2 of 3", "pass"),
        ("a = −g", "nudge", "above 0", "2 of 3", "fail"),
    ]
    table["rho_status"] = "ok"
    selected = controls.calibration(cast(Reader, Tables(tmp_path / "layers.csv", table)), runs)
    assert selected is not None
    assert [(*row[:2], *row[-2:]) for row in selected.rows if row[1] == "ρ"] == [
        ("a = g", "ρ", "2 of 3", "pass by selection")
    ]
    few = controls.calibration(reader, runs.assign(width=8, measure_samples=16))
    assert few is not None and few.rows[2][2] == "0 ± 0.354"  # 4 / sqrt(128), by chance


def test_what_is_known_of_the_code_is_said(ladder):
    store, parent = ladder
    reader = connect(store.uri)
    ids = reader.children(parent)
    tags = (("a" * 40, "true"), ("", "false"), ("", ""), ("", ""))
    for run_id, (commit, dirty) in zip(ids, tags, strict=True):
        store.client.set_tag(run_id, COMMIT, commit)
        store.client.set_tag(run_id, DIRTY, dirty)
    store.client.set_tag(parent, DIRTY, "true")
    said = " ".join(caveats.code(origin_of(reader, parent, ids)))
    assert "In 1 runs the code differed" in said and "2 runs do not say whether the code" in said
    assert "3 runs do not say which version" in said and "When the parent run was opened" in said
    store.client.set_tag(parent, DIRTY, "")
    assert "The parent run does not say" in " ".join(caveats.code(origin_of(reader, parent, ids)))
    publish.publish(store, parent)
    words = Page(report_of(store, parent)).words
    assert f"{'a' * 40} (1); 3 do not name theirs" in words and "git checkout" not in words


def test_checks_that_came_later_are_named():
    names = ("D1", "beyond a copy", "M4 > copy", "M4 > copy", "M4 > dfa", "warmup", "tgw")
    assert page.late([{"check": c} for c in names]) == ["beyond a copy", "M4 > copy", "warmup"]


def test_the_order_is_told_with_what_is_missing():
    table = pd.DataFrame(
        {"rule": ["a", "b", "c"], "x": [0.1, 0.3, None], "x_sd": [0.01, None, None]}
    )
    said = appendix.ranking(table, ["rule"], "x", "x")
    assert said == "By x, the largest first: b .300, a .100 ± .010; no valid value: c."
    verdicts = [
        {"rule": "a", "check": "D1", "status": "pass", "label": ""},
        {"rule": "a", "check": "D3", "status": "fail", "label": "falls"},
        {"rule": "b", "check": "D3", "status": "undefined", "label": ""},
    ]
    assert appendix.tally(verdicts) == (
        "3 checks: 1 pass, 1 fail, 1 undefined.",
        "Failed, by rule: a: D3 (falls).",
        "Undefined, by rule: b: D3.",
    )


def test_symbols_are_explained_where_they_occur():
    assert [symbol for symbol, _ in glossary.used("Γ at k=4")] == ["k", "Γ"]
    assert dict(glossary.used("kappa gamma")) == {}


def test_a_frame_of_any_kind_is_a_table():
    frame = pd.DataFrame(
        {"a": [1, 2], "b": [0.123456, float("nan")], "c": ["", None], "d": [True, False]}
    )
    grid = of_frame(frame, "all kinds")
    assert grid.columns == ["a", "b", "d"]
    assert grid.rows == [["1", "0.1235", "yes"], ["2", "", "no"]]
    assert grid.numeric == [True, True, False]


def test_no_password_is_shown(ladder, monkeypatch):
    store, parent = ladder
    reader = connect(store.uri)
    reader.uri = "http://name:secret@host:5000/"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("credit.report.origin.select", lambda *_: [])
        origin = origin_of(reader, parent, [])
    link = origin.link("a'b<c")
    assert origin.uri == "http://host:5000/" and "secret" not in str(origin)
    assert link.href == f"http://host:5000/#/experiments/{origin.experiment}/runs/a%27b%3Cc"


def test_without_words_of_its_own_an_experiment_still_has_a_report(ladder):
    store, parent = ladder
    reader = connect(store.uri)
    bare = Results("Bare: a table", *[pd.DataFrame({"a": [1]})] * 2, None, [])
    found = Page(page.build(reader, parent, reader.runs(parent=parent), bare))
    assert "Nothing can be said yet." in found.words and "Residual MLP on digits" in found.words


def test_a_wide_table_is_told_in_parts_and_a_sentence_once():
    columns = {f"x{i}": [i / 7, 2 * i / 7] for i in range(20)}
    frame = pd.DataFrame({"rule": ["a", "a"], "k": [0, 1], **columns})
    whole = of_frame(frame.assign(run="REDUCED: 10 of 100 epochs, 1 of 3 seeds"), "all")
    assert whole.caption == "all; run of every row: REDUCED: 10 of 100 epochs, 1 of 3 seeds"
    found = parts(whole)
    assert [part.columns[:2] for part in found] == [["rule", "k"]] * 3
    shown = [name for part in found for name in part.columns[2:]]
    assert shown == list(columns) and max(len(part.columns) for part in found) <= MOST_COLUMNS
    assert [row[:2] for row in found[2].rows] == [["a", "0"], ["a", "1"]]
