"""The notebooks, executed head to tail on the runs of `results/`, imported and published."""

import ast
import json
import re

import nbformat
import pytest
from nbclient import NotebookClient

from credit.tracking.reader import connect
from tests.commands import ROOT, succeed

NOTEBOOKS = ROOT / "notebooks"
NAMES = sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb"))
PLAIN = [name for name in NAMES if name != "experiment"]
"""Without any import of the project but the reader."""
IMPORTED = ("ladder", "direction_quality", "toy_lq", "frozen_recovery")
LARGEST_BYTES = 300_000


@pytest.fixture(scope="module")
def filled_store(tmp_path_factory: pytest.TempPathFactory) -> str:
    uri = f"sqlite:///{tmp_path_factory.mktemp('filled') / 'mlflow.db'}"
    for kind in IMPORTED:
        succeed("import_results", "--folder", f"results/{kind}", MLFLOW_TRACKING_URI=uri)
    return uri


def execute(name: str, **changes: str) -> nbformat.NotebookNode:
    """Run a notebook with its names at the top changed; a cell that fails raises."""
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    for cell in notebook.cells:
        for constant, value in changes.items():
            cell.source = re.sub(rf"(?m)^{constant} = \S+", f"{constant} = {value!r}", cell.source)
    last = 'import sys; print("torch loaded:", "torch" in sys.modules)'
    notebook.cells.append(nbformat.v4.new_code_cell(last))
    resources = {"metadata": {"path": str(NOTEBOOKS)}}
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()
    return notebook


def shown(notebook: nbformat.NotebookNode) -> str:
    return json.dumps([cell.get("outputs", []) for cell in notebook.cells], ensure_ascii=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", PLAIN)
def test_plain_notebooks_run_and_load_no_torch(name, filled_store, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", filled_store)
    text = shown(execute(name))
    assert "torch loaded: False" in text and "image/png" in text
    reader = connect(filled_store)
    if name == "depth_ladder":
        runs = reader.runs(parent=reader.newest("ladder"))
        for _, own in runs.groupby(["rule", "k"]):
            assert f"{own['accuracy/test'].mean():.3f}".rstrip("0") in text
    if name == "direction_quality":
        assert "reasonable" in text and "0.207" in text


@pytest.mark.slow
@pytest.mark.parametrize("kind", IMPORTED)
def test_one_notebook_shows_any_kind(kind, filled_store, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", filled_store)
    text = shown(execute("experiment", KIND=kind))
    reader = connect(filled_store)
    stored = json.loads(reader.artifact(reader.newest(kind), "verdicts.json").read_text())
    assert stored and all(verdict["check"] in text for verdict in stored)
    assert "image/png" in text


@pytest.mark.parametrize("name", NAMES)
def test_notebooks_are_short_and_ask_one_question(name):
    path = NOTEBOOKS / f"{name}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert path.stat().st_size <= LARGEST_BYTES and len(notebook.cells) < 18
    title = notebook.cells[0].source.splitlines()[0]
    assert title.startswith("# ") and title.endswith("?")
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    assert "TRACKING_URI = None" in code[0] and max(len(c.splitlines()) for c in code) <= 15
    tree = ast.parse(re.sub(r"(?m)^%.*", "", "\n".join(code)))
    own = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    if name in PLAIN:
        assert own == {"credit.tracking.reader"}


def test_outputs_that_are_shipped_are_whole():
    for name in NAMES:
        notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
        assert "image/png" in shown(notebook) and '"error"' not in shown(notebook), name
