"""Sweeps that run on this host: a command waits for another command that trains its runs.

A sweep holds a file lock as long as its process lives, so that a sweep whose process was killed is
free for the next command at once. The locks lie beside a SQLite store, else in the state folder:
that folder is the place whose commands know of each other, and has a name that its runs carry.
"""

import contextlib
import json
import os
import socket
import sys
import time
import uuid
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Self

from filelock import FileLock, Timeout

from credit.errors import CreditError
from credit.tracking.store import Store, sqlite_path
from credit.tracking.writer import Row

POLL_SECONDS = 2.0
"""Between two looks at a sweep that another process runs."""


class Place:
    """The folder of locks of all commands that may meet on a run; `name` is the tag of its runs."""

    def __init__(self, store: Store, state: Path) -> None:
        database = sqlite_path(store.uri)
        self.folder = Path(f"{database}.running") if database else state / "running"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.entry = FileLock(self.folder / "entry")  # held for moments
        with self.entry:
            file = self.folder / "name"
            if not file.exists():
                file.write_text(uuid.uuid4().hex)
            self.name = file.read_text()


def refuse_elsewhere(found: Mapping[str, Row], place: str) -> None:
    """Refuse runs that are RUNNING for commands of another place: nobody knows if these live.

    `place` is the name of this one, or "" to take such runs over.
    """
    for run in found.values():
        if place and run.status == "RUNNING" and run.owner not in ("", place):
            raise CreditError(
                f"run {run.run_id} is RUNNING for a command on another host or state folder: let "
                "that one end, or, if it is gone, pass --take_over true"
            )


class Claim:
    """One sweep of this process, and the runs that no other process may train meanwhile.

    For a `with`; `take` acquires it.
    """

    def __init__(self, place: Place, name: str, sweep_hash: str) -> None:
        self._place, self._name = place, name
        self._lock = FileLock(place.folder / f"{sweep_hash}.lock")
        self._since = time.strftime("%F %T")

    def take(self, hashes: Collection[str], waiting: Callable[[], None] = lambda: None) -> None:
        """Wait until no other process runs this sweep or one with any of these runs; hold them.

        `hashes` replace those held before. While it waits, `waiting` is called again and again.
        """
        told = False
        while (other := self._try(hashes)) is not None:
            if not told:
                who = f"pid {other['pid']} on {other['host']}, since {other['since']}"
                print(
                    f"credit: {other['name']} is running ({who}): waiting for it; "
                    "--follow true shows its progress",
                    file=sys.stderr,
                )
            told = True
            waiting()
            time.sleep(POLL_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock.is_locked:
            self._note.unlink(missing_ok=True)
            self._lock.release()

    @property
    def _note(self) -> Path:
        return Path(self._lock.lock_file).with_suffix(".json")

    def _try(self, hashes: Collection[str]) -> dict[str, Any] | None:
        """Hold these runs and return None, or return what the process that has them says."""
        with self._place.entry:
            for path in self._place.folder.glob("*.lock"):
                other = _holder(path)
                mine = path == Path(self._lock.lock_file)
                if mine and not self._lock.is_locked and other is not None:
                    return other
                if not mine and other is not None and set(other["runs"]) & set(hashes):
                    return other
            self._lock.acquire(blocking=False)
            note = {"name": self._name, "pid": os.getpid(), "host": socket.gethostname()}
            self._note.write_text(json.dumps({**note, "since": self._since, "runs": [*hashes]}))
            return None


def _holder(path: Path) -> dict[str, Any] | None:
    """Return what the holder of a lock noted beside it; None if nobody holds it."""
    try:
        with FileLock(path, blocking=False):
            return None
    except Timeout:
        unknown = {"name": path.stem, "pid": "?", "host": "?", "since": "?", "runs": []}
        with contextlib.suppress(OSError, ValueError):
            return unknown | json.loads(path.with_suffix(".json").read_text())
        return unknown
