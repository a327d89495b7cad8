"""What the documents tell a newcomer to type does what they say.

Every shell and Python block is executed as it stands, in order, in a copy of the checkout with an
empty home. Only the trainings are made short, by options added behind.
"""

import os
import re
import shlex
import signal
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

from tests.commands import ROOT
from tests.project.documents import blocks, commands, run, shortened

DOCUMENTS = ("README.md", "CONTRIBUTING.md")
SERVERS = ("make ui",)
"""They end with Ctrl-C, and not before they have answered."""
ELSEWHERE = {"make test": "that is what runs this", "make ladder-full": "hours"}
"""Commands that are not repeated here."""


def answered(command: str, checkout: Path, env: dict[str, str]) -> str:
    """Start a server, ask it for its page, end it as Ctrl-C does; what it had printed."""
    port = "5731"
    process = subprocess.Popen(
        ["bash", "-c", command],
        cwd=checkout,
        env={**env, "PORT": port},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as page:
                    assert page.status == 200
                break
            except OSError:
                assert process.poll() is None and time.monotonic() < deadline, "no answer"
                time.sleep(0.5)
    finally:
        os.killpg(process.pid, signal.SIGINT)
        try:
            output = process.communicate(timeout=30)[0]
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    return output


@pytest.mark.slow
def test_the_readme_does_what_it_says(newcomer):
    checkout, env = newcomer
    printed, kept = [], []  # what a shell keeps from block to block
    for block in blocks("README.md", "sh"):
        script = [*kept]
        for command in commands(block):
            if command in SERVERS:
                printed.append(answered(command, checkout, env))
            elif command not in ELSEWHERE and "your.module" not in command:
                script.append(shortened(command))
                kept += [command] * command.startswith((". ", "export "))
        printed.append(run("\n".join(script), checkout, env))
    assert any("D3" in text for text in printed), "no command printed a verdict"
    assert any("workflowType=machine_learning" in text for text in printed), "no link to the UI"
    for block in [*blocks("README.md", "python"), *blocks("docs/tracking.md", "python")]:
        assert run(shlex.join([".venv/bin/python", "-c", block]), checkout, env).strip(), block


def test_documents_link_to_what_is_there():
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/*.md")]:
        for target in re.findall(r"\]\(([^)#\s]+)", path.read_text()):
            if not re.match(r"[a-z]+:", target):
                assert (path.parent / target).exists(), f"{path.name} links to {target}"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_targets_and_entry_points_that_documents_name_exist(document: str):
    text = (ROOT / document).read_text()
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z-]+)", text)) <= targets
    shown = set(re.findall(r"^# entrypoints/(\w+)\.py", text, re.MULTILINE))  # written down there
    for name in set(re.findall(r"python -m entrypoints\.(\w+)", text)) - shown:
        assert (ROOT / "entrypoints" / f"{name}.py").exists(), name
