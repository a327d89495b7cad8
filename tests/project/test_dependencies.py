"""`make audit-deps`: what it makes of pip-audit's answer, and of none."""

from importlib.metadata import version
from importlib.util import module_from_spec, spec_from_file_location

import pytest
from packaging.specifiers import SpecifierSet

from tests.commands import ROOT, python

SCRIPT = ROOT / ".ci" / "audit_deps.py"


@pytest.fixture(scope="module")
def audit():
    spec = spec_from_file_location("audit_deps", SCRIPT)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def answer(*fixed: str) -> dict:
    """As pip-audit writes it: one flaw of a package at 2.0, mended in these versions."""
    flaw = {"id": "PYSEC-1", "fix_versions": list(fixed), "aliases": [], "description": "bad"}
    return {
        "dependencies": [
            {"name": "Some_Thing", "version": "2.0", "vulns": [flaw]},
            {"name": "sound", "version": "1.0", "vulns": []},
            {"name": "private", "skip_reason": "not found on PyPI"},
        ],
        "fixes": [],
    }


def test_a_flaw_fails_only_where_a_mended_release_fits_every_pin(audit):
    pins = {"some-thing": SpecifierSet(">=1,<3"), "sound": SpecifierSet()}

    def judged(*fixed: str) -> tuple[int, str]:
        mendable, others = audit.judge(answer(*fixed), pins)
        assert len(mendable) + len(others) == 1
        return len(mendable), (mendable + others)[0]

    fails, line = judged("1.5", "3.1", "2.4")
    assert fails and "Some_Thing 2.0: PYSEC-1, mended in 2.4" in line
    fails, line = judged("3.1", "1.5")
    assert not fails and "mended in 3.1, which <3,>=1 does not allow" in line
    fails, line = judged()
    assert not fails and "not mended by anyone" in line
    fails, _ = judged("2.5rc1")  # not a release
    assert not fails


def test_every_requirement_is_found_with_the_pins_of_all_that_need_it(audit):
    installed, pins = audit.needed(ROOT / "pyproject.toml")
    assert installed["mlflow"] == version("mlflow")
    assert "+" not in installed["torch"]
    assert "3.18.0" not in pins["mlflow"]
    assert "mlflow-skinny" in installed and "credit" not in installed
    # mlflow and its skinny half each say which versions they can do with
    assert len(pins["mlflow-skinny"]) > 0 and version("mlflow-skinny") in pins["mlflow-skinny"]


def test_without_an_answer_it_says_so_and_passes(no_network):
    pytest.importorskip("pip_audit", reason="make setup installs pip-audit")
    done = python(str(SCRIPT))
    assert done.returncode == 0, done.stderr
    last = done.stdout.splitlines()[-1]
    assert last.startswith("audit-deps: not checked: ") and " checked, " not in done.stdout


def test_language_figures_and_experiments_load_neither_torch_nor_mlflow():
    code = (
        "import sys, credit.figures\nfrom credit.experiments import KINDS, find\n"
        "for kind in KINDS: find(kind)\n"
        "sys.exit(bool({'torch', 'mlflow'} & set(sys.modules)))"
    )
    done = python("-c", code)
    assert done.returncode == 0, done.stderr
