"""The protocol of launchers, and the environment of their workers."""

import os
from collections.abc import Callable, Generator
from typing import NamedTuple, Protocol

from tqdm import tqdm

from credit.sweep import worker
from credit.sweep.networks import Networks
from credit.sweep.worker import Settled, Task
from credit.tracking.store import sqlite_path
from credit.tracking.writer import Store, Writer

Take = Callable[[], Task | None]
"""Gives the next stack to train, None if there is none now."""
POLL_SECONDS = 5.0
"""Between two looks at workers elsewhere."""
PASSED = (
    *("MLFLOW_", "CREDIT_DATA", "AWS_", "AZURE_", "GOOGLE_APPLICATION_", "DATABRICKS_", "PG"),
    *("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"),
    *("SSL_CERT_", "REQUESTS_CA_BUNDLE"),
)
"""Beginnings of the variables that a worker gets from the command."""


class Ended(NamedTuple):
    """A stack that a worker has left."""

    task: Task
    settled: Settled
    lost: str = ""  # how the worker was lost before it had trained the stack


class Detached(Exception):
    """All jobs are submitted, and this command does not wait for them."""


class Launcher(Protocol):
    """Trains stacks somewhere."""

    def run(self, take: Take, watch: Callable[[], None]) -> Generator[Ended, None, None]:
        """Train stacks and yield each when its worker has left it, until there are no more.

        Closing the iterator stops the workers. `watch`, called again and again, shows progress.

        Raises:
            CreditError: a worker says what the user can mend.
        """
        ...


class Inside:
    """The process of the sweep itself, one stack after the other; an error ends it."""

    def __init__(self, work: Networks, writer: Writer, bar: tqdm) -> None:
        self._given = work, writer, bar

    def run(self, take: Take, watch: Callable[[], None]) -> Generator[Ended, None, None]:
        """Train stacks, as `Launcher.run`; their progress is the bar's."""
        while task := take():
            yield Ended(task, worker.train(task, *self._given))


def environment(store: Store) -> dict[str, str]:
    """Return what a worker's environment must have: store, experiment, data and import path."""
    here = {k: v for k, v in os.environ.items() if k.startswith(PASSED) and k != "MLFLOW_RUN_ID"}
    database = sqlite_path(store.uri)
    path = os.pathsep.join(filter(None, [os.getcwd(), os.environ.get("PYTHONPATH")]))
    return here | {
        "MLFLOW_TRACKING_URI": f"sqlite:///{database}" if database else store.uri,
        "MLFLOW_EXPERIMENT_ID": store.experiment_id,
        "PYTHONPATH": path,
    }
