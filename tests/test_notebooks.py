"""The notebooks, executed head to tail on a store that real (tiny) sweeps have filled."""

import shutil
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from credit.analysis import (
    nonlinearity,
    nonlinearity_checks,
    selection,
    story,
    story_tables,
    tables,
)
from credit.analysis.story_claim import MISSING
from credit.errors import CreditError
from credit.spec import RunSpec
from credit.sweep import Sweep, run
from credit.tracking.reader import connect
from credit.tracking.store import open_store

ROOT = Path(__file__).parents[1]
NOTEBOOKS = ROOT / "notebooks"
SEEDS = (42, 123)
TINY = {
    "dataset": "digits",
    "width": 16,
    "depth": 2,
    "epochs": 2,
    "measure_samples": 64,
    "directions": 4,
    "device": "cpu",
}


@pytest.fixture(scope="module")
def filled_store(_empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URI of a store with each experiment that has a notebook, on digits."""
    folder = tmp_path_factory.mktemp("filled")
    shutil.copy(_empty_store, folder / "mlflow.db")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    ladder = [
        RunSpec(rule=rule, k=k, seed=seed, **TINY)
        for rule in ("bp", "oracle", "fa", "dfa")
        for k in range(3)
        for seed in SEEDS
    ]
    direction = [
        RunSpec(rule="dfa", k=2, seed=seed, penalty=penalty, **TINY)
        for penalty in (0.0, 0.01)
        for seed in SEEDS
    ]
    bent = [
        RunSpec(**{**TINY, "k": depth, "depth": depth}, rule=rule, seed=seed, activation="phi")
        for rule in ("bp", "dfa", "state_bridge")
        for depth in (1, 2)
        for seed in SEEDS
    ]
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME"):
            patch.delenv(name, raising=False)
        patch.setenv("MLFLOW_TRACKING_URI", uri)
        patch.setenv("CREDIT_STATE", str(folder / "state"))
        run(Sweep("ladder", "ladder digits d16 L2", ladder), open_store())
        run(Sweep("direction_quality", "direction digits d16 L2", direction), open_store())
        run(Sweep("nonlinearity_ladder", "nonlinearity digits d16", bent), open_store())
    return uri


def execute(name: str, cwd: Path) -> nbformat.NotebookNode:
    """Run a notebook with `cwd` as its kernel's folder; a cell that fails raises."""
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    notebook.cells.append(
        nbformat.v4.new_code_cell('import sys; print("torch loaded:", "torch" in sys.modules)')
    )
    resources = {"metadata": {"path": str(cwd)}}
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()
    return notebook


def shown(notebook: nbformat.NotebookNode, kind: str) -> str:
    """Everything that the cells displayed in one form: text/plain, text/html, image/png, stdout."""
    parts = []
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if kind == "stdout" and output.output_type == "stream" and output.name == "stdout":
                parts.append(output.text)
            elif kind in output.get("data", {}):
                parts.append(output.data[kind])
    return "\n".join(parts)


@pytest.mark.parametrize(
    "cwd",
    [
        pytest.param(NOTEBOOKS, id="notebooks"),
        pytest.param(ROOT, id="root", marks=pytest.mark.slow),
    ],
)
def test_depth_ladder(cwd, filled_store, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", filled_store)
    notebook = execute("depth_ladder", cwd)
    reader = connect(filled_store)
    runs = reader.runs(kind="ladder")
    assert (runs["status"] == "FINISHED").all()
    wide = tables.ladder_wide(tables.ladder(runs))
    cells = wide[["k=0", "k=1", "k=2"]].to_numpy().ravel().tolist()
    assert len(cells) == 12
    assert all(cell.endswith("(n=2)") for cell in cells)
    html, text = shown(notebook, "text/html"), shown(notebook, "stdout")
    assert [cell for cell in cells if cell not in html] == []
    for verdict in tables.verdicts(runs):
        assert verdict["check"] in html
    assert "climbs" in html or "flat" in html or "falls" in html
    assert "No finished run has a reported value" in text
    assert "torch loaded: False" in text
    assert shown(notebook, "image/png").count("iVBOR") == 2


@pytest.mark.parametrize(
    "cwd",
    [
        pytest.param(ROOT, id="root"),
        pytest.param(NOTEBOOKS, id="notebooks", marks=pytest.mark.slow),
    ],
)
def test_direction_quality(cwd, filled_store, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", filled_store)
    notebook = execute("direction_quality", cwd)
    reader = connect(filled_store)
    runs = reader.runs(kind="direction_quality")
    table = tables.direction(runs, tables.layer_tables(reader, runs))
    assert table["seeds"].tolist() == [2] * 6
    ok = table[table["status"] == "ok"]
    assert len(ok)
    assert (ok["raw_cosine"] - ok["alignment"]).abs().max() < 1e-12  # artifact and metric agree
    html, text = shown(notebook, "text/html"), shown(notebook, "stdout")
    for value in ok["alignment"]:
        assert f"{value:.3g}" in html
    assert "direction" in html
    assert "0.01" in html
    assert "torch loaded: False" in text
    assert shown(notebook, "image/png").count("iVBOR") == 1


@pytest.mark.parametrize(
    "cwd",
    [
        pytest.param(NOTEBOOKS, id="notebooks"),
        pytest.param(ROOT, id="root", marks=pytest.mark.slow),
    ],
)
def test_nonlinearity_ladder(cwd, filled_store, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", filled_store)
    notebook = execute("nonlinearity_ladder", cwd)
    reader = connect(filled_store)
    runs = reader.runs(kind="nonlinearity_ladder")
    assert len(runs) == 12 and (runs["status"] == "FINISHED").all()
    wide = nonlinearity.wide(nonlinearity.table(runs))
    cells = wide[["L=1", "L=2"]].to_numpy().ravel().tolist()
    assert len(cells) == 4 * 3 * 2 and all(cell.endswith("(n=2)") for cell in cells)
    html, text = shown(notebook, "text/html"), shown(notebook, "stdout")
    assert [cell for cell in cells if cell not in html] == []
    for verdict in nonlinearity_checks.verdicts(runs):
        assert verdict["check"] in html and verdict["reason"] in html
    assert "no reported values beside dfa" in text
    assert "torch loaded: False" in text
    assert shown(notebook, "image/png").count("iVBOR") == 1


@pytest.mark.parametrize(
    "cwd",
    [
        pytest.param(ROOT, id="root"),
        pytest.param(NOTEBOOKS, id="notebooks", marks=pytest.mark.slow),
    ],
)
def test_when_does_credit_work(cwd, filled_store, monkeypatch):
    """Three of its experiments are there; the others are named, and the rest still works."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", filled_store)
    notebook = execute("when_does_credit_work", cwd)
    chapters = story.tell(connect(filled_store))
    html, text = shown(notebook, "text/html"), shown(notebook, "stdout")
    assert story_tables.counts(chapters) in text
    for own in chapters:
        missing = own.kind not in ("ladder", "direction_quality", "nonlinearity_ladder")
        assert (own.status == MISSING) is missing and not own.trouble
        assert (f"python -m entrypoints.{own.kind}" in html) is missing
        assert missing or own.settings.startswith("REDUCED: ")
        for one in own.claims:
            assert one.name in html and one.status in html
            assert all(run in html for run in one.runs)
    assert "torch loaded: False" in text
    assert shown(notebook, "image/png").count("iVBOR") == 1


def test_an_experiment_is_chosen_by_kind_and_id(filled_store):
    reader = connect(filled_store)
    newest = selection.choose_parent(reader, "ladder")
    assert selection.choose_parent(reader, "ladder", newest) == newest
    other = selection.choose_parent(reader, "direction_quality")
    with pytest.raises(CreditError, match=rf"{other}.*connect\(\)\.parents\('ladder'\)"):
        selection.choose_parent(reader, "ladder", other)
    with pytest.raises(CreditError, match="no 'frozen_init' experiment: run one first"):
        selection.choose_parent(reader, "frozen_init")


@pytest.mark.parametrize(
    "name",
    [
        *("depth_ladder", "direction_quality", "nonlinearity_ladder"),
        *("boundary_ablation", "vector_audit", "toy_lq"),
        *("frozen_recovery", "online_scan", "method_comparison", "depth_scan"),
        *("matched_controls", "credit_scale", "when_does_credit_work"),
    ],
)
def test_notebooks_are_short_and_ask_one_question(name):
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    assert len(notebook.cells) < 15
    title = notebook.cells[0].source.splitlines()[0]
    assert title.startswith("# ")
    assert title.endswith("?")
    first_code = next(cell for cell in notebook.cells if cell.cell_type == "code")
    assert "TRACKING_URI = None" in first_code.source
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert len(cell.source.splitlines()) <= 15
