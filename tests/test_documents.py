"""What the documents tell a newcomer to type does what they say.

Every shell and Python block is executed as it stands, in order, in a copy of the checkout with an
empty home. Only the trainings are made short, by options added behind.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCUMENTS = ("README.md", "CONTRIBUTING.md")
SHORT = {"epochs": "1", "train_samples": "400", "measure_samples": "64", "directions": "2"}
"""What is added to a command that trains; the quick preset of the ladder has no more to it."""
SERVERS = ("make ui",)
"""They end with Ctrl-C, and not before they have answered."""
ELSEWHERE = {
    "make test": "that is what runs this",
    "make ladder-full": "hours",
}
"""Commands that are not repeated here."""


def blocks(document: str, language: str) -> list[str]:
    """The code blocks of one language."""
    text = (ROOT / document).read_text()
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


def commands(block: str) -> list[str]:
    """A shell block's lines, without comments, continued lines joined."""
    lines = block.replace("\\\n", " ").splitlines()
    return [found for line in lines if (found := re.sub(r"(^|\s)#.*", "", line).strip())]


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory) -> tuple[Path, dict[str, str]]:
    """A copy of what git would hold, and an environment with nothing of one's own in it."""
    folder = tmp_path_factory.mktemp("newcomer")
    checkout, home = folder / "credit", folder / "home"
    home.mkdir()
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            (checkout / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, checkout / name)
    venv = Path(sys.prefix)
    if not (venv / ".installed").exists():
        pytest.skip("the environment was not made by `make setup`")
    (checkout / ".venv").symlink_to(venv)
    os.utime(checkout / "pyproject.toml", (0, 0))  # the environment is newer: no installing
    keep = ("PATH", "CREDIT_DATA", "LANG", "OMP_NUM_THREADS", "MLFLOW_DISABLE_TELEMETRY")
    env = {name: os.environ[name] for name in keep if name in os.environ}
    env |= {"HOME": str(home), "MLFLOW_DISABLE_TELEMETRY": "true"}
    env["ARGS"] = " ".join(f"--{name} {value}" for name, value in SHORT.items())
    return checkout, env


def shortened(command: str) -> str:
    """The command with options that make its training short."""
    trains = re.match(r"(python -m entrypoints|mlflow run)", command)
    if not trains or re.search(r"(report|export|import_results|frozen_init)\b", command):
        return command
    separator = ("--{} {}", "-P {}={}")[command.startswith("mlflow")]
    asked = {n: v for n, v in SHORT.items() if not re.search(rf"[- ]{n}[= ]", command)}
    if "epochs" not in asked:  # the document says how many
        command = re.sub(r"(epochs[= ])\d+", r"\g<1>1", command)
    if command.startswith("mlflow"):  # options of the stanza only
        asked = {n: v for n, v in asked.items() if n in ("epochs", "train_samples")}
    return " ".join([command, *(separator.format(*item) for item in asked.items())])


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


def run(script: str, checkout: Path, env: dict[str, str]) -> str:
    """What a bash script prints.

    Raises:
        AssertionError: it fails.
    """
    done = subprocess.run(
        ["bash", "-e", "-c", script], cwd=checkout, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{script}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
    return done.stdout


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
    for block in blocks("README.md", "python"):
        done = subprocess.run(
            [str(checkout / ".venv/bin/python"), "-c", block],
            cwd=checkout,
            env=env,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{block}\n{done.stderr[-3000:]}"
        assert done.stdout.strip(), f"prints nothing:\n{block}"


def test_documents_link_to_what_is_there():
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/*.md")]:
        for target in re.findall(r"\]\(([^)#\s]+)", path.read_text()):
            if not re.match(r"[a-z]+:", target):
                assert (path.parent / target).exists(), f"{path.name} links to {target}"


@pytest.mark.parametrize(("document", "lines"), [("README.md", 200), ("CONTRIBUTING.md", 160)])
def test_documents_are_short(document: str, lines: int):
    assert len((ROOT / document).read_text().splitlines()) < lines


@pytest.mark.parametrize("document", DOCUMENTS)
def test_targets_and_entry_points_that_documents_name_exist(document: str):
    text = (ROOT / document).read_text()
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z-]+)", text)) <= targets
    shown = set(re.findall(r"^# entrypoints/(\w+)\.py", text, re.MULTILINE))  # written down there
    for name in set(re.findall(r"python -m entrypoints\.(\w+)", text)) - shown:
        assert (ROOT / "entrypoints" / f"{name}.py").exists(), name
