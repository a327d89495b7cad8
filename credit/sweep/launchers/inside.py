"""Stacks in the process of the sweep itself, one after the other."""

from collections.abc import Callable, Generator

from tqdm import tqdm

from credit.sweep import worker
from credit.sweep.launchers.base import Ended, Take
from credit.sweep.networks import Networks
from credit.tracking.writer import Store, Writer


class Inside:
    """This process. Data, store and writer are those of the sweep; an error ends it."""

    def __init__(self, work: Networks, store: Store, writer: Writer, bar: tqdm) -> None:
        self._given = work, store, writer, bar

    def run(self, take: Take, watch: Callable[[], None]) -> Generator[Ended, None, None]:
        """Train stacks, as `Launcher.run`; their progress is the bar's."""
        while task := take():
            yield Ended(task, worker.train(task, *self._given))
