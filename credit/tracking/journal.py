"""The on-disk record of one run's metric values: what was logged, and how much was accepted.

`<run_id>.jsonl` has one line per call, {"step": 3, "timestamp": 1700000000000, "metrics": {...}};
the sibling `<run_id>.sent` holds the byte offset up to which the server has accepted them. A line
is on disk before it is sent, so a killed process loses none, and it keeps its timestamp, so sending
it twice changes nothing.
"""

import contextlib
import json
import os
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

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
        complete: False if steps may be missing here that the server has: no file, or a damaged one.
        pending: metric values not yet marked as sent.
    """

    def __init__(self, folder: Path, run_id: str) -> None:
        self.path = folder / f"{run_id}.jsonl"
        self.complete = False
        self.pending = 0
        self._sent_path = folder / f"{run_id}.sent"
        self._sent = 0
        self._loaded = 0  # bytes that an earlier process wrote
        self._elsewhere: set[int] = set()  # steps the server had before this file began
        self._on_server: set[int] = set()
        self._keys: dict[int, frozenset[str]] = {}
        self._shared: dict[frozenset[str], frozenset[str]] = {}  # most steps have the same keys
        self._lock = threading.Lock()
        try:
            self._load()
        except OSError as error:
            raise CreditError(
                f"cannot read {self.path} ({error.strerror}): make it yours, it holds unsent values"
            ) from error

    @property
    def steps(self) -> set[int]:
        """Every step that has been logged, here or before this file began."""
        with self._lock:
            return self._elsewhere | self._keys.keys()

    def append(self, step: int, timestamp: int, metrics: dict[str, float]) -> int:
        """Write the values not yet logged at this step; return how many those are."""
        with self._lock:
            if step in self._elsewhere:
                return 0
            known = self._keys.get(step, frozenset())
            fresh = {key: value for key, value in metrics.items() if key not in known}
            if fresh:
                self._write({"step": step, "timestamp": timestamp, "metrics": fresh})
                self._remember(step, fresh)
                self.pending += len(fresh)
            return len(fresh)

    def add_known(self, steps: Iterable[int]) -> None:
        """Note the steps that the server has and this file lacks; the journal is then complete."""
        with self._lock:
            self._on_server = set(steps)
            lacking = self._on_server - self._elsewhere - self._keys.keys()
            if lacking:
                self._write({"known": sorted(lacking)})
                self._elsewhere |= lacking
            self.complete = True

    def unsent(self, limit: int) -> list[Entry]:
        """The oldest entries not yet sent: at most `limit` values, but at least one entry."""
        entries: list[Entry] = []
        if not self.path.exists():
            return entries
        with self.path.open("rb") as file:
            file.seek(self._sent)
            end, values = self._sent, 0
            for raw in file:
                line = _parse(raw)
                if line is None:
                    break  # the other thread is in the middle of writing it
                end += len(raw)
                metrics = line.get("metrics", {})
                if entries and values + len(metrics) > limit:
                    break
                values += len(metrics)
                entries.append(Entry(line.get("step", 0), line.get("timestamp", 0), metrics, end))
        return entries

    def is_duplicate(self, entry: Entry) -> bool:
        """Return whether the server had the step, and this process wrote it before it could ask."""
        return entry.end > self._loaded and entry.step in self._on_server

    def mark_sent(self, entries: list[Entry]) -> None:
        """The server has accepted these, the result of `unsent`."""
        if entries:
            with self._lock:
                self._sent = entries[-1].end
                with contextlib.suppress(OSError):  # a full disk: then it is sent twice, no harm
                    self._sent_path.write_text(str(self._sent))
                self.pending -= sum(len(entry.metrics) for entry in entries)

    def sync(self) -> None:
        """Force what was appended onto the disk."""
        with self._lock, contextlib.suppress(OSError), self.path.open("rb") as file:
            os.fsync(file.fileno())

    def drop(self) -> None:
        """Remove the files. For a run that is finished and fully sent."""
        with self._lock:
            self.path.unlink(missing_ok=True)
            self._sent_path.unlink(missing_ok=True)

    def _load(self) -> None:
        if not self.path.exists():
            self._sent_path.unlink(missing_ok=True)
            return
        raw = self.path.read_bytes()
        sent = self._sent_path.read_text(errors="replace") if self._sent_path.exists() else ""
        # 0 sends all again: costs time, no harm
        self._sent = int(sent) if sent.isdecimal() and len(sent) < 20 else 0
        good, values = 0, {0: 0}  # end of a line -> metric values up to there
        for text in raw.splitlines(keepends=True):
            line = _parse(text)
            if line is None:
                break
            metrics = line.get("metrics", {})
            self._elsewhere.update(line.get("known", ()))
            if metrics:
                self._remember(line["step"], metrics)
            values[good + len(text)] = values[good] + len(metrics)
            good += len(text)
        if self._sent not in values:
            self._sent = 0
        self.pending = values[good] - values[self._sent]
        self._loaded = good
        self.complete = good == len(raw)
        if not self.complete:  # killed in mid-write: the cut line was never sent
            with self.path.open("r+b") as file:
                file.truncate(good)

    def _remember(self, step: int, metrics: dict[str, float]) -> None:
        keys = self._keys.get(step, frozenset()).union(metrics)
        self._keys[step] = self._shared.setdefault(keys, keys)

    def _write(self, line: dict[str, Any]) -> None:
        text = json.dumps(line, separators=(",", ":"), allow_nan=False) + "\n"
        try:
            with self.path.open("ab") as file:
                file.write(text.encode())
        except OSError as error:
            raise CreditError(
                f"cannot write {self.path} ({error}): free space, then resume"
            ) from error


def _parse(raw: bytes) -> dict[str, Any] | None:
    """A whole journal line as a dictionary, or None for one that was cut short."""
    try:
        line = json.loads(raw) if raw.endswith(b"\n") else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(line, dict):
        return None
    steps = line.get("known", [line.get("step"), line.get("timestamp")])
    metrics = line.get("metrics", {} if "known" in line else None)
    good = (
        isinstance(steps, list)
        and all(type(step) is int and 0 <= step < 2**63 for step in steps)
        and isinstance(metrics, dict)
        and all(type(value) in (int, float) for value in metrics.values())
    )
    return line if good else None
