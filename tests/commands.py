"""The checkout, and commands in processes of their own."""

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


def entry(script: str, *words: str, **env: str) -> subprocess.CompletedProcess:
    return python("-m", f"entrypoints.{script}", *words, **env)


def succeed(script: str, *words: str, **env: str) -> str:
    """What an entry point prints that ends well."""
    done = entry(script, *words, **env)
    assert done.returncode == 0, done.stderr
    return done.stdout
