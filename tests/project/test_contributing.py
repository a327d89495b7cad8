"""The experiment that CONTRIBUTING.md shows is complete: written down as it stands, it runs."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from credit.tracking.reader import connect
from tests.commands import ROOT, python

TEXT = (ROOT / "CONTRIBUTING.md").read_text()
FILES = dict(re.findall(r"^```python\n# (\S+\.py)\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE))
KIND = "batch_size"
TINY = (
    "--preset quick --dataset digits --width 16 --epochs 1 --train_samples 200 "
    "--measure_samples 32 --directions 2 --device cpu"
)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    """Return a copy of the sources with the files and the stanza that the document shows."""
    folder = tmp_path_factory.mktemp("contributed")
    for name in ("credit", "entrypoints"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    (stanza,) = re.findall(r"^```yaml\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
    (folder / "MLproject").write_text(f"{(ROOT / 'MLproject').read_text().rstrip()}\n\n{stanza}")
    for name, code in FILES.items():
        (folder / name).write_text(code)
    return folder


def call(checkout: Path, *words: str) -> subprocess.CompletedProcess:
    return python("-m", *words, cwd=checkout, PYTHONPATH=str(checkout), COLUMNS="200")


@pytest.mark.slow
def test_the_experiment_of_the_document_runs_and_publishes(checkout):
    done = call(checkout, f"entrypoints.{KIND}", *TINY.split())
    assert done.returncode == 0, done.stderr
    reader = connect()
    parent = reader.newest(KIND)
    for name in ("table.csv", "verdicts.json", "report.html", "figure.png"):
        assert reader.artifact(parent, name).stat().st_size > 100, name
    runs = reader.runs(parent=parent).sort_values(["rule", "batch_size"])
    assert runs["rule"].tolist() == ["bp", "bp", "dfa", "dfa"]
    assert runs["batch_size"].tolist() == [32, 128, 32, 128]


def test_its_stanza_has_options_of_its_script(checkout):
    stanza = yaml.safe_load((checkout / "MLproject").read_text())["entry_points"][KIND]
    shown = call(checkout, f"entrypoints.{KIND}", "--help").stdout
    assert all(f"--{name} " in shown for name in stanza["parameters"])
    assert all(f"--{name} {{{name}}}" in stanza["command"] for name in stanza["parameters"])
