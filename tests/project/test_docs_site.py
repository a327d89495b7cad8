"""The documentation site builds without a warning, shows every page, and quotes real messages."""

import ast
import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from tests.commands import ROOT, python

SITE = (ROOT / "mkdocs.yml").read_text()
OUTSIDE = {"contributing.md", "benchmarks.md"}
"""Pages that the site takes from elsewhere in the repository."""
HINT = re.compile(r"\b(?:credit|tests|entrypoints|benchmarks|examples)/[\w/]+\.(?:py|md)")


def pages(nav: object) -> set[str]:
    if isinstance(nav, str):
        return {nav}
    parts = nav.values() if isinstance(nav, dict) else nav
    return set().union(*map(pages, parts))


def test_the_navigation_names_every_page():
    there = {str(p.relative_to(ROOT / "docs")) for p in ROOT.glob("docs/**/*.md")}
    assert pages(yaml.safe_load(SITE)["nav"]) == there | OUTSIDE


def test_pages_name_files_that_are_there():
    for path in [*ROOT.glob("docs/methods/*.md"), ROOT / "docs/troubleshooting.md"]:
        for name in HINT.findall(path.read_text()):
            assert (ROOT / name).exists(), f"{path.name} names {name}"


@cache
def texts() -> str:
    """Return the fixed parts of every text of the package, one a line."""
    found = []
    for path in ROOT.glob("credit/**/*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(" ".join(node.value.split()))
    return "\n".join(found)


def quoted() -> list[str]:
    """Return the messages of the troubleshooting page: the first cell of every row."""
    text = (ROOT / "docs/troubleshooting.md").read_text()
    return re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE)


def test_the_quoted_messages_occur_in_the_source():
    messages = quoted()
    assert len(messages) > 50
    for message in messages:
        parts = [part.strip(" ,():;=") for part in message.split("…")]
        assert any(len(part) > 4 for part in parts), f"too little to search for: {message}"
        for part in filter(None, parts):
            assert part in texts(), f"no text of the package has {part!r} of {message!r}"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if find_spec("mkdocs") is None:
        pytest.skip("mkdocs is not installed: make docs installs it")
    folder = tmp_path_factory.mktemp("site")
    words = ["-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = python(*words, NO_MKDOCS_2_WARNING="1")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.mark.slow
def test_the_site_has_every_page_and_every_file_that_it_links_to(site):
    for page in pages(yaml.safe_load(SITE)["nav"]):
        assert (site / page).with_suffix(".html").exists(), page
    for path in site.rglob("*.html"):
        if path.name == "404.html":  # its links are those of a server's root
            continue
        for target in re.findall(r'(?:href|src)="([^"#?]+)', path.read_text()):
            if not re.match(r"\w+:", target):
                assert (path.parent / target).exists(), f"{path.name} links to {target}"


@pytest.mark.slow
def test_the_site_loads_nothing_from_elsewhere_and_draws_every_formula(site):
    for path in site.rglob("*.html"):
        text = path.read_text()
        assert not re.findall(r'<(?:script|img|iframe)[^>]+src="https?:', text), path.name
        assert not re.findall(r'<link[^>]+rel="stylesheet"[^>]+href="https?:', text), path.name
        assert "arithmatex" not in text, path.name
        for formula in re.findall(r"<math.*?</math>", text, re.DOTALL):
            assert "\\" not in formula, f"{path.name}: {formula}"
