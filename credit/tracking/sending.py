"""Metric values on their way to the store, without slowing training.

`Writer.log` appends to a journal on disk and returns; one thread sends. A server that is away costs
training nothing, and what it never accepted is still in the journal when the command is run again.
"""

import logging
import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Self

from mlflow.entities import Metric

from credit.errors import CreditError
from credit.tracking.journal import Entry, Journal
from credit.tracking.runs import finish
from credit.tracking.store import AWAY, Store, is_final, shown

BATCH = 1000
"""Metric values of a request: MLflow's client sends no more at once."""
LONGEST_PAUSE_S = 60
LONGEST_BACKOFF_S = 10
SENDING_SHARE = 0.05
"""Largest share of wall time spent sending, so that many runs do not starve training of CPU."""

_log = logging.getLogger(__name__)


class Writer:
    """Sends the metric values of many runs in the background; use it as a context manager.

    Args:
        journal_dir: where the journals lie; the same folder on every resume.
        interval_s: seconds between two rounds of sending, more when a round takes long.

    Attributes:
        refused: run id -> why the server will never accept its values (the run was deleted, say).
    """

    def __init__(self, store: Store, journal_dir: Path | str, interval_s: float = 5.0) -> None:
        self.store = store
        self._folder = Path(journal_dir)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._interval = self._pause = interval_s
        self._journals: dict[str, Journal] = {}
        self._actions: dict[str, list[Callable[[], object]]] = {}
        self._ended: set[str] = set()  # filled by the thread, which no signal interrupts
        self.refused: dict[str, str] = {}
        self._failures = 0
        self._urgent = self._closing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._loop, name="credit-writer", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def watch(self, run_id: str) -> Journal:
        """Send what an earlier process left unsent, from now on."""
        with self._changed:
            if run_id not in self._journals:
                self._journals[run_id] = Journal(self._folder, run_id)
            return self._journals[run_id]

    def known_steps(self, run_id: str) -> set[int]:
        """Steps already logged for this run; from the server where there is no whole journal.

        To be asked before a run goes on: `log` knows its steps from then on. Asking sends nothing:
        the run may be another process's.
        """
        with self._changed:
            journal = self._journals.get(run_id) or Journal(self._folder, run_id)
        if not journal.complete:
            try:
                journal.add_known(self._server_steps(run_id))
            except AWAY as error:
                raise CreditError(
                    f"no answer about run {run_id} ({error}): resume when the store is up"
                ) from error
        return set(journal.steps)

    def log(self, run_id: str, step: int, metrics: Mapping[str, float]) -> None:
        """Record a step's values and return at once; a step that was logged before is left alone.

        Values that are not finite are dropped: what is not valid is absent.
        """
        valid = {key: float(value) for key, value in metrics.items() if math.isfinite(value)}
        journal = self.watch(run_id)
        journal.append(step, time.time_ns() // 1_000_000, valid)
        if journal.pending >= BATCH and not self._urgent:
            with self._changed:
                self._urgent = True
                self._changed.notify_all()

    def then(self, run_id: str, action: Callable[[], object]) -> None:
        """Call `action` in the background as soon as the run's values are accepted, in order.

        It is repeated while the server is away, and lost if the process dies before.
        """
        self.watch(run_id)
        with self._changed:
            self._actions.setdefault(run_id, []).append(action)
            self._urgent = True
            self._changed.notify_all()

    def finish(self, run_id: str, status: str = "FINISHED", reason: str | None = None) -> None:
        """End a run once all that was logged for it is accepted; only its first end counts."""
        ended = time.time_ns() // 1_000_000

        def end() -> None:
            first = run_id not in self._ended
            if first:
                finish(self.store, run_id, status, reason, ended)
                self._ended.add(run_id)
            with self._changed:
                journal = self._journals.pop(run_id, None)
            if first and journal and status == "FINISHED":
                journal.drop()

        if run_id not in self._ended:
            self.then(run_id, end)

    def sync(self, run_ids: Iterable[str]) -> None:
        """See that what was logged for these runs outlives a loss of power."""
        for run_id in run_ids:
            if journal := self._journals.get(run_id):
                journal.sync()

    @property
    def unsent(self) -> int:
        """Metric values that the server has not accepted yet, plus actions not done yet."""
        with self._changed:
            return sum(
                journal.pending + len(self._actions.get(run_id, ()))
                for run_id, journal in self._journals.items()
            )

    def flush(self, timeout_s: float = 60.0) -> int:
        """Wait until everything is sent and done, or the time is up; return `unsent`."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while self._waiting() and self._thread.is_alive() and time.monotonic() < deadline:
                self._urgent = True
                self._changed.notify_all()
                self._changed.wait(min(0.5, max(0.0, deadline - time.monotonic())))
        return self.unsent

    def close(self, timeout_s: float = 60.0) -> int:
        """Flush, stop the thread and return `unsent`; what is unsent stays in the journals."""
        unsent = self.flush(timeout_s)
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(timeout=0.1 if unsent else 5)
        if unsent:
            _log.warning(
                "%d values are not sent yet: they are in %s, and the same command again sends them",
                unsent,
                self._folder,
            )
        return unsent

    def _waiting(self) -> bool:
        return any(
            run_id not in self.refused and (journal.pending or self._actions.get(run_id))
            for run_id, journal in self._journals.items()
        )

    def _loop(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._closing or (self._urgent and not self._failures), self._pause
                )
                if self._closing:
                    return
                self._urgent = False
                runs = dict(self._journals)
            started = time.monotonic()
            try:
                for run_id, journal in runs.items():
                    if run_id not in self.refused and not self._closing:
                        self._serve(run_id, journal)
            except AWAY as error:
                self._back_off(error)
            else:
                if self._failures:
                    _log.warning("the tracking store answers again")
                took = time.monotonic() - started
                self._failures = 0
                self._pause = max(self._interval, min(took / SENDING_SHARE, LONGEST_PAUSE_S))
            with self._changed:
                self._changed.notify_all()

    def _back_off(self, error: Exception) -> None:
        if not self._failures:
            cause = shown((str(error).splitlines() or [type(error).__name__])[0])[:200]
            _log.warning("the tracking store is away, values are kept on disk (%s)", cause)
        self._failures += 1
        self._pause = min(2.0 ** min(self._failures - 1, 10), LONGEST_BACKOFF_S)

    def _serve(self, run_id: str, journal: Journal) -> None:
        """Send all of one run's values, then its actions."""
        try:
            while entries := journal.unsent(BATCH):
                self._send(run_id, entries)
                journal.mark_sent(entries)
            while actions := self._actions.get(run_id):
                actions[0]()
                with self._changed:
                    actions.pop(0)
        except Exception as error:
            if isinstance(error, AWAY) and not is_final(error):
                raise
            # This run stays RUNNING, so that the next resume mends it; the other runs go on.
            self.refused[run_id] = shown(str(error))
            _log.error(
                "run %s stays unfinished, its values are in %s: %s", run_id, journal.path, error
            )

    def _send(self, run_id: str, entries: list[Entry]) -> None:
        values = [
            Metric(key, value, entry.timestamp, entry.step)
            for entry in entries
            for key, value in entry.metrics.items()
        ]
        self.store.client.log_batch(run_id, values)

    def _server_steps(self, run_id: str) -> set[int]:
        client = self.store.client
        keys = client.get_run(run_id).data.metrics.keys()
        asked = ["loss/train"] if "loss/train" in keys else keys
        return {metric.step for key in asked for metric in client.get_metric_history(run_id, key)}
