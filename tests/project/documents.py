"""The blocks of documents, and how they are executed."""

import re
import subprocess
from pathlib import Path

from tests.commands import ROOT

SHORT = {"epochs": "1", "train_samples": "400", "measure_samples": "64", "directions": "2"}
"""What is added to a command that trains; the quick preset of the ladder has no more to it."""


def blocks(document: str, language: str) -> list[str]:
    text = (ROOT / document).read_text()
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


def commands(block: str) -> list[str]:
    """A shell block's lines, without comments, continued lines joined."""
    lines = block.replace("\\\n", " ").splitlines()
    return [found for line in lines if (found := re.sub(r"(^|\s)#.*", "", line).strip())]


def shortened(command: str) -> str:
    """The command with options that make its training short."""
    if command.startswith("make audit"):
        return f'{command} ARGS="--epochs 1 --train_samples 400 --controls none --ks 0,4"'
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


def run(script: str, checkout: Path, env: dict[str, str]) -> str:
    done = subprocess.run(
        ["bash", "-e", "-c", script], cwd=checkout, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{script}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
    return done.stdout
