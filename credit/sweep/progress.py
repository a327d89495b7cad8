"""Progress of runs that train in other processes: what the tracking store has of them."""

import contextlib
import sys
import time
from collections.abc import Mapping, Sequence

from tqdm import tqdm

from credit.spec import RunSpec
from credit.tracking.store import AWAY
from credit.tracking.writer import Store, find_children

LOOK_SECONDS = 30.0
"""Least time between two questions to the store."""


class Progress:
    """Moves a bar by the epochs that runs have recorded, but for those `done` before."""

    def __init__(
        self, store: Store, specs: Sequence[RunSpec], bar: tqdm, done: Mapping[str, int]
    ) -> None:
        self._store, self._bar, self._done = store, bar, done
        self._epochs = {spec.spec_hash: spec.epochs for spec in specs}
        self._shown = 0
        self._looked = time.monotonic()

    def show(self) -> None:
        """Show how far the runs are, if the last look is long ago."""
        if time.monotonic() - self._looked < LOOK_SECONDS:
            return
        with contextlib.suppress(*AWAY):
            recorded = sum(
                max(0, (self._epochs[key] if run.finished else run.epoch) - self._done.get(key, 0))
                for key, run in find_children(self._store, self._epochs).items()
                if run.status in ("RUNNING", "FINISHED")
            )
            self._bar.update(max(0, recorded - self._shown))
            self._shown = max(self._shown, recorded)
        self._looked = time.monotonic()


def progress() -> tqdm:
    """Return a progress bar over run-epochs, with rate and time left; its total is set later."""
    return tqdm(
        total=1e-6,
        unit="run-epoch",
        delay=0.1,  # none where nothing trains
        unit_scale=True,
        mininterval=0.5 if sys.stderr.isatty() else 30,
        bar_format="{percentage:3.0f}%|{bar:24}| {n:.1f}/{total:.0f} run-epochs, {rate_fmt}, "
        "{remaining} left{postfix}",
    )
