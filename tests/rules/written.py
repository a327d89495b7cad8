"""Rules from outside the package, written into modules that are loaded as by a new process."""

import linecache
import sys
from pathlib import Path

from credit.rules.shared import source
from credit.spec import RunSpec
from credit.sweep.sweep import resolve
from credit.training.cost import state_sizes


def written(
    folder: Path, monkeypatch, text: str, name: str = "mine", encoding: str = "utf-8"
) -> str:
    """The name of a module with this text."""
    (folder / f"{name}.py").write_text(text, encoding)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # two texts of one second and size
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, name, raising=False)
    linecache.clearcache()
    for cached in (source.digest, state_sizes):
        cached.cache_clear()
    return name


def run_of(rule: str = "mine:Mine", **changes) -> RunSpec:
    base = {"width": 8, "depth": 2, "k": 2, "device": "cpu"}
    return resolve(RunSpec(**{"rule": rule, **base, **changes}))
