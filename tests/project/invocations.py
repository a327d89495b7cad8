"""Invocations of entry points that are refused: their surroundings, and how each ends."""

import os
import shlex
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import pytest
from mlflow import MlflowClient

from tests.forking import Done, Forks

TINY = "--dataset digits --device cpu --width 8 --depth 2 --k 2 --epochs 1 --train_samples 64 "
TINY += "--measure_samples 16 --directions 2"
ABSENT = "0" * 32
REFUSES = "http://127.0.0.1:9"
"""Nothing listens there, and the answer comes at once."""


@dataclass
class World:
    """The surroundings of one invocation: its folder, environment, and names for its words."""

    folder: Path
    env: dict[str, str]
    names: dict[str, str] = field(default_factory=dict)

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(self.env["MLFLOW_TRACKING_URI"])

    def file(self, name: str, content: str | bytes) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path


Prepare = Callable[[World], object]


class Case(NamedTuple):
    """An invocation that ends with one line."""

    words: str
    """The name of an entry point, and its options."""
    named: str
    """In the line, in this order; `...` stands for anything."""
    prepare: Prepare | None = None
    trained: bool = False
    """Whether the store holds a finished run of `train` with the options TINY."""

    @property
    def script(self) -> str:
        return self.words.split()[0]


def cases(words: dict[str, str]) -> list[Case]:
    return [Case(*item) for item in words.items()]


def env(name: str, value: str) -> Prepare:
    """An environment variable; {here} in its value is the case's folder."""

    def prepare(world: World) -> None:
        world.env[name] = value.format(here=world.folder)

    return prepare


def file(name: str, content: str | bytes, *more: Prepare) -> Prepare:
    def prepare(world: World) -> None:
        world.file(name, content)
        for one in more:
            one(world)

    return prepare


def sql(*statements: str) -> Prepare:
    """Changes in the tracking database that no client makes."""

    def prepare(world: World) -> None:
        with closing(sqlite3.connect(world.folder / "mlflow.db")) as database:
            for statement in statements:
                database.execute(statement)
            database.commit()

    return prepare


def tag(run: str, name: str, value: str) -> Prepare:
    return lambda world: world.client.set_tag(world.names[run], name, value)


DIGITS = "--dataset digits"
QUICK = "--preset quick --dataset digits"
URI = "MLFLOW_TRACKING_URI"


def surroundings(home: Path) -> dict[str, str]:
    """All of the environment of an invocation; there is no network and no GPU."""
    (home / "data").mkdir()
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return kept | {
        "CREDIT_DATA": str(home / "data"),
        "CREDIT_STATE": str(home / "state"),
        "CUDA_VISIBLE_DEVICES": "",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_TRACKING_URI": f"sqlite:///{home / 'mlflow.db'}",
        "MPLBACKEND": "Agg",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(home),  # for rules of the user's own
        "http_proxy": REFUSES,
        "https_proxy": REFUSES,
        "no_proxy": "127.0.0.1",
    }


def runs_of(folder: Path) -> set[str]:
    with closing(sqlite3.connect(folder / "mlflow.db")) as database:
        return {run_id for (run_id,) in database.execute("SELECT run_uuid FROM runs")}


def words_of(case: Case, world: World) -> list[str]:
    return [word.format(**world.names) for word in shlex.split(case.words)[1:]]


def aside(line: str) -> bool:
    """Whether the line is of a download or of a dataset that stands in, before the error."""
    return line.startswith(("fetching ", "credit: training on digits instead of cifar10"))


def the_line(done: Done) -> str:
    lines = [line for line in done.err.splitlines() if line.strip() and not aside(line)]
    assert len(lines) == 1, done.err
    return lines[0]


def assert_refused(done: Done, case: Case, world: World, before: set[str]) -> None:
    assert done.status == 1, done
    line = the_line(done)
    assert line.startswith("credit: ")
    place = 0
    for part in case.named.format(**world.names).split("..."):
        place = line.find(part.strip(), place)
        assert place >= 0, (part, line)
    assert done.out == ""
    assert runs_of(world.folder) == before


def refused(case: Case, world: World, forks: Forks) -> Done:
    """How a fork ends."""
    before = runs_of(world.folder)
    words = words_of(case, world)
    done = forks.call(case.script, words, world.env, world.folder, world.folder)
    assert_refused(done, case, world, before)
    return done


def table(cases: list[Case]):
    return pytest.mark.parametrize(
        ("case", "world"),
        [(case, case) for case in cases],
        ids=[f"{case.words} {case.named}"[:90] for case in cases],
        indirect=["world"],
    )
