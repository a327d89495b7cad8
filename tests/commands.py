"""The checkout, and commands in processes of their own."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def python(*words: str, cwd: Path = ROOT, **env: str) -> subprocess.CompletedProcess:
    """`python` with these words, ended; `env` is added to this process's environment."""
    return subprocess.run(
        [sys.executable, *words],
        cwd=cwd,
        env={**os.environ, **env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
    )


def begun(code: str, *words: str) -> subprocess.Popen:
    """A process that runs this code in the checkout, just started."""
    command = [sys.executable, "-c", code, *words]
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)


def entry(script: str, *words: str, **env: str) -> subprocess.CompletedProcess:
    return python("-m", f"entrypoints.{script}", *words, **env)


LIGHTLY = """
import contextlib, io, json, runpy, sys
found = []
for module, *words in json.loads(sys.argv[1]):
    sys.argv[1:], end = words, None
    with contextlib.redirect_stdout(io.StringIO()) as out:
        try:
            runpy.run_module(module, run_name="__main__")
        except SystemExit as ended:
            end = ended.code
    assert not end, (module, end)
    found.append((out.getvalue(), [*{"torch", "mlflow", "pandas"} & set(sys.modules)]))
print(json.dumps(found))
"""


def lightly(*commands: list[str]) -> list[tuple[str, list[str]]]:
    """What each module prints with its words, and what it has loaded of what takes seconds to load.

    One after the other in one process: what the first has loaded, the others have, too.
    """
    done = python("-c", LIGHTLY, json.dumps(commands), COLUMNS="200")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def succeed(script: str, *words: str, **env: str) -> str:
    """What an entry point prints that ends well."""
    done = entry(script, *words, **env)
    assert done.returncode == 0, done.stderr
    return done.stdout
