"""conda.yaml, which `mlflow run` installs, and pyproject.toml name the same environment."""

import tomllib

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from tests.commands import ROOT


@pytest.fixture(scope="module")
def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def conda() -> dict:
    return yaml.safe_load((ROOT / "conda.yaml").read_text())


def by_name(requirements: list[str]) -> dict[str, Requirement]:
    parsed = [Requirement(text) for text in requirements]
    assert len({r.name for r in parsed}) == len(parsed), "a package is required twice"
    return {r.name: r for r in parsed}


def pip_section(conda: dict) -> list[str]:
    (section,) = (d["pip"] for d in conda["dependencies"] if isinstance(d, dict))
    return section


def test_pip_section_agrees_with_pyproject(project, conda):
    """And has no paths: mlflow installs it in a temporary directory, where none would be found."""
    required = by_name(pip_section(conda))
    assert required == by_name(project["dependencies"])
    assert all(requirement.url is None for requirement in required.values())
    mlflow = required["mlflow"].specifier
    assert "3.17.2" in mlflow and "3.18.0" not in mlflow  # which does not resolve


def test_python_agrees_with_pyproject(project, conda):
    (python,) = (d for d in conda["dependencies"] if str(d).startswith("python"))
    version = python.removeprefix("python=")
    assert version[0].isdigit(), f"{python!r}: mlflow wants one pinned version"
    assert version in SpecifierSet(project["requires-python"])


def test_constraints_pin_every_dependency_to_an_allowed_version(project):
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = by_name([line for line in lines if not line.startswith("#")])
    for name, requirement in by_name(project["dependencies"]).items():
        (pin,) = pinned[name].specifier
        assert pin.operator == "==" and requirement.specifier.contains(pin.version), name
    assert all("+" not in str(requirement.specifier) for requirement in pinned.values())


def test_no_uv_lock():
    """Mlflow's uv mode would install a uv.lock beside pyproject.toml instead of conda.yaml."""
    assert not (ROOT / "uv.lock").exists()
