"""A release: one version, CI that runs what is there, and a wheel that needs no checkout."""

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
import venv
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

import credit
from credit import rules
from tests.commands import ROOT, python

RULE = """
from credit.rules import Rule


class PassBack(Rule):
    def credit(self, state, trace):
        return [trace.grad_out + 0 for _ in trace.hiddens]
"""
AUDIT = (
    "--rule my_rule:PassBack --preset quick --dataset digits --ks 0,2 --controls none --seeds 42 "
    "--width 8 --depth 2 --epochs 1 --train_samples 200 --measure_samples 32 --directions 2"
)
CI = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def commands() -> list[list[str]]:
    steps = [step for job in CI["jobs"].values() for step in job["steps"]]
    lines = [line for step in steps for line in step.get("run", "").splitlines()]
    return [shlex.split(re.sub(r"\$\{\{.*?\}\}", "quick", line)) for line in lines]


def test_changelog_and_citation_name_the_version():
    newest = re.search(
        r"^## \[(\d+\.\d+\.\d+)\] - (\S+)$", (ROOT / "CHANGELOG.md").read_text(), re.M
    )
    assert newest
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert newest[1] == cited["version"] == credit.__version__
    assert newest[2] == cited["date-released"]
    assert "version" in PROJECT["dynamic"]


def test_ci_runs_what_is_there():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    assert len(commands()) >= 4
    for first, *words in commands():
        assert set(words) <= targets if first == "make" else os.access(ROOT / first, os.X_OK)


def test_ci_runs_the_slow_tests_once_and_every_python_that_is_declared():
    matrix = CI["jobs"]["stages"]["strategy"]["matrix"]
    declared = [re.search(r":: (3\.\d+)$", text) for text in PROJECT["classifiers"]]
    assert matrix["python"] == [found[1] for found in declared if found]
    (whole,) = matrix["include"]
    assert whole["stages"] == "all"
    assert whole["os"] in matrix["os"] and whole["python"] in matrix["python"]
    makefile = (ROOT / "Makefile").read_text()
    for name in CI["jobs"]["versions"]["strategy"]["matrix"]["constraints"]:
        assert (ROOT / name).exists() or f"--output-file {name}" in makefile


def test_unknown_stages_are_refused():
    done = subprocess.run([".ci/run", "fast"], cwd=ROOT, capture_output=True)
    assert done.returncode == 2


def test_the_program_finds_rules_in_the_current_folder(tmp_path):
    """Not where Python is told to look nowhere but in what is installed."""
    (tmp_path / "my_rule.py").write_text(RULE)
    program = tmp_path / "bin" / "credit"
    program.parent.mkdir()
    program.write_text("from credit.commands import main\nmain()\n")
    words = [str(program), "audit", *AUDIT.split(), "--dry_run", "true"]
    done = python(*words, cwd=tmp_path, PYTHONPATH=str(ROOT))
    assert done.returncode == 0, done.stderr
    done = python(*words, cwd=tmp_path, PYTHONPATH=str(ROOT), PYTHONSAFEPATH="1")
    assert done.returncode == 1
    assert "my_rule" in done.stderr


Program = Callable[..., str]


@pytest.fixture(scope="module")
def installed(newcomer: tuple[Path, dict[str, str]], tmp_path_factory) -> Path:
    """Return a new environment with the wheel in it, which was built from the source archive."""
    checkout, _ = newcomer
    folder = tmp_path_factory.mktemp("installed")
    built = python("-m", "build", "--no-isolation", "--outdir", str(folder), cwd=checkout)
    assert built.returncode == 0, built.stderr
    assert [path.name for path in folder.glob("*.tar.gz")] == [
        f"credit-{credit.__version__}.tar.gz"
    ]
    (wheel,) = folder.glob("*.whl")
    made = folder / "venv"
    venv.create(made)
    (site,) = made.glob("lib/python*/site-packages")
    others = [path for path in sys.path if path.endswith("site-packages")]
    (site / "others.pth").write_text("\n".join(others))  # torch and all that is not this package
    words = ["--python", str(made / "bin" / "python"), "install", "--no-deps", "--no-index"]
    done = python("-m", "pip", *words, str(wheel))
    assert done.returncode == 0, done.stderr
    return made


@pytest.fixture
def program(installed: Path, tmp_path: Path) -> Program:
    """Return what runs a script of the new environment in an empty folder, with an empty home."""
    here, home = tmp_path / "here", tmp_path / "home"
    here.mkdir()
    home.mkdir()
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "OMP_NUM_THREADS": "1"}

    def run(script: str, *words: str) -> str:
        done = subprocess.run(
            [installed / "bin" / script, *words], cwd=here, env=env, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{script} {words}\n{done.stdout[-1000:]}{done.stderr[-3000:]}"
        return done.stdout

    return run


def files(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_an_installed_program_trains_reports_and_exports(program, installed, tmp_path):
    (package,) = installed.glob("lib/python*/site-packages/credit")
    before = files(package.parent)
    program("credit", "--help")
    assert set(rules.available()) <= set(program("credit", "ls", "rules").split())
    ladder = "--preset quick --dataset digits --epochs 1 --seeds 42 --rules bp,dfa"
    program("credit", "ladder", *ladder.split())
    program("credit", "report")
    program("credit", "export")
    doctor = json.loads(program("credit", "doctor", "--json"))
    code = "import credit; credit.diagnose; print(credit.__file__)"
    assert Path(program("python", "-c", code).strip()).parent == package
    here, home = tmp_path / "here", tmp_path / "home"
    made = {path.name for path in here.iterdir()}
    assert made - {"mlflow.db.lock", "mlflow.db.running"} == {
        *("mlflow.db", "mlartifacts", "results", ".credit")
    }
    exported = json.loads((here / "results/ladder/runs.json").read_text())["runs"]
    assert len(exported) == 1 + 2 * 5
    (report,) = here.glob("mlartifacts/**/report.html")
    assert report.stat().st_size > 10_000
    assert str(here / "mlflow.db") in doctor["store"]
    assert doctor["data"].startswith(str(home / ".cache" / "credit"))
    assert files(package.parent) == before


@pytest.mark.slow
def test_an_installed_program_audits_a_rule_in_the_current_folder(program, tmp_path):
    (tmp_path / "here" / "my_rule.py").write_text(RULE)
    found = json.loads(program("credit", "audit", *AUDIT.split(), "--workers", "2", "--json"))
    assert found["failures"] == {}
    assert len(found["verdicts"]) > 5 and {row["rule"] for row in found["verdicts"]}
