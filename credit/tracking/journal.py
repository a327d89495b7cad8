"""The on-disk record of one run's metric values: what was logged, and how much was accepted.

`<run_id>.jsonl` has one line per step, {"step": 3, "timestamp": 1700000000000, "metrics": {...}};
the sibling `<run_id>.sent` holds the byte offset up to which the server has accepted them. A line
is on disk before it is sent, so a killed process loses none, and it keeps its timestamp, so sending
it twice changes nothing.
"""

import contextlib
import json
import os
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from credit.errors import CreditError


class Entry(NamedTuple):
    """One journal line; `end` is the byte offset behind it, `timestamp` in milliseconds."""

    step: int
    timestamp: int
    metrics: dict[str, float]
    end: int


class Journal:
    """The journal of one run. One thread may append while another one sends.

    Attributes:
        path: the file.
        steps: every step that has been logged, here or before this file began.
        complete: False if steps may be missing here that the server has: no file, or a damaged one.
        pending: metric values not yet marked as sent.
    """

    def __init__(self, folder: Path, run_id: str) -> None:
        self.path = folder / f"{run_id}.jsonl"
        self._mark = folder / f"{run_id}.sent"
        self._lock = threading.Lock()
        try:
            self._load()
        except OSError as error:
            raise CreditError(
                f"cannot read {self.path} ({error.strerror}): make it yours, it holds unsent values"
            ) from error

    def append(self, step: int, timestamp: int, metrics: dict[str, float]) -> None:
        """Write the values of a step, unless it has been logged before."""
        if step in self.steps:
            return
        line = {"step": step, "timestamp": timestamp, "metrics": metrics}
        text = json.dumps(line, separators=(",", ":"), allow_nan=False) + "\n"
        with self._lock:
            try:
                with self.path.open("ab") as file:
                    file.write(text.encode())
            except OSError as error:
                raise CreditError(
                    f"cannot write {self.path} ({error}): free space, then resume"
                ) from error
            self.steps.add(step)
            self.pending += len(metrics)

    def add_known(self, steps: Iterable[int]) -> None:
        """Note the steps that the server has and this file lacks; the journal is then complete."""
        for step in sorted({*steps} - self.steps):
            self.append(step, 0, {})
        self.complete = True

    def unsent(self, limit: int) -> list[Entry]:
        """The oldest entries not yet sent: at most `limit` values, but at least one entry."""
        entries: list[Entry] = []
        if self.path.exists():
            with self.path.open("rb") as file:
                file.seek(self._sent)
                for entry in _entries(file, self._sent):
                    limit -= len(entry.metrics)
                    if entries and limit < 0:
                        break
                    entries.append(entry)
        return entries

    def mark_sent(self, entries: list[Entry]) -> None:
        """The server has accepted these, the result of `unsent`."""
        with self._lock:
            self._sent = entries[-1].end
            with contextlib.suppress(OSError):  # a full disk: then it is sent twice, no harm
                self._mark.write_text(str(self._sent))
            self.pending -= sum(len(entry.metrics) for entry in entries)

    def sync(self) -> None:
        """Force what was appended onto the disk."""
        with self._lock, contextlib.suppress(OSError), self.path.open("rb") as file:
            os.fsync(file.fileno())

    def drop(self) -> None:
        """Remove the files. For a run that is finished and fully sent."""
        with self._lock:
            self.path.unlink(missing_ok=True)
            self._mark.unlink(missing_ok=True)

    def _load(self) -> None:
        there = self.path.exists()
        if not there:
            self._mark.unlink(missing_ok=True)
        raw = self.path.read_bytes() if there else b""
        mark = self._mark.read_text(errors="replace") if self._mark.exists() else ""
        entries = list(_entries(raw.splitlines(keepends=True), 0))
        good = entries[-1].end if entries else 0
        self.steps = {entry.step for entry in entries}
        self._sent = next((entry.end for entry in entries if str(entry.end) == mark), 0)
        self.pending = sum(len(entry.metrics) for entry in entries if entry.end > self._sent)
        self.complete = there and good == len(raw)
        if good < len(raw):  # killed in mid-write: the cut line was never sent
            if b"\n" in raw[good:]:  # whole lines, then, which no version of this wrote: kept
                self.path.with_suffix(".damaged").write_bytes(raw[good:])
            with self.path.open("r+b") as file:
                file.truncate(good)


def _entries(lines: Iterable[bytes], end: int) -> Iterator[Entry]:
    """Yield the entries in lines that begin at the offset `end`, up to one that is not whole."""
    for raw in lines:
        end += len(raw)
        try:
            line = json.loads(raw) if raw.endswith(b"\n") else {}
            metrics = {key: float(value) for key, value in line["metrics"].items()}
            entry = Entry(int(line["step"]), int(line["timestamp"]), metrics, end)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
            return
        yield entry
