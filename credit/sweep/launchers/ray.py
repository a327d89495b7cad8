"""Workers of a Ray cluster: a task for each stack.

The cluster is the one that RAY_ADDRESS names, else one of this machine, started for the sweep. Ray
runs a task again whose node or process has died; it goes on from the stack's last checkpoint.
"""

import logging
import os
from collections.abc import Callable, Generator
from dataclasses import replace

from credit.errors import CreditError, Stopped
from credit.sweep import worker
from credit.sweep.launchers.base import POLL_SECONDS, Ended, Take
from credit.sweep.options import Launch
from credit.sweep.worker import NOTHING, Settled, Task

try:
    import ray
    from ray.exceptions import RayError, RayTaskError
except ImportError as error:
    raise CreditError("launcher=ray needs Ray: pip install 'credit[ray]'") from error

RETRIES = 3
"""How often Ray runs a stack again whose node or process has died, or whose store was away."""


class WorkerStopped(OSError):
    """A worker was asked to stop, as a node does that is taken away with grace."""


class Ray:
    """Tasks of a Ray cluster."""

    def __init__(self, launch: Launch, gpus: int) -> None:
        self._cpus, self._gpus = launch.worker_cpus or 1, gpus
        try:
            ray.init(
                address=os.environ.get("RAY_ADDRESS") or None,
                ignore_reinit_error=True,
                include_dashboard=None,
                log_to_driver=False,  # the result is on stdout; Ray keeps the logs
                logging_level=logging.ERROR,
            )
        except (ConnectionError, RuntimeError, ValueError) as error:
            where = os.environ.get("RAY_ADDRESS", "this machine")
            cause = " ".join(str(error).split())[:200]
            raise CreditError(f"no Ray cluster answers at {where} ({cause})") from error

    def run(self, take: Take, watch: Callable[[], None]) -> Generator[Ended, None, None]:
        """Train stacks, as `Launcher.run`."""
        running = {}
        try:
            while True:
                while task := take():
                    running[self._submit(task)] = task
                if not running:
                    return
                ready, _ = ray.wait(list(running), timeout=POLL_SECONDS)
                for reference in ready:
                    yield _ended(reference, running.pop(reference))
                watch()
        finally:
            for reference in running:
                ray.cancel(reference)
            if running:
                ray.wait(list(running), num_returns=len(running), timeout=60)

    def _submit(self, task: Task):  # -> ray.ObjectRef
        path = {"PYTHONPATH": task.environment["PYTHONPATH"]}  # no secret
        function = ray.remote(_run).options(
            num_cpus=self._cpus,
            num_gpus=self._gpus,
            max_retries=RETRIES,
            retry_exceptions=[OSError],
            name=f"credit-{task.name}",
            runtime_env={"env_vars": path},
        )
        return function.remote(replace(task, threads=self._cpus))


def _run(task: Task) -> Settled:
    try:
        return worker.run(task)
    except Stopped as stopped:
        raise WorkerStopped(f"stopped by {stopped}") from stopped


def _ended(reference, task: Task) -> Ended:
    try:
        return Ended(task, ray.get(reference))
    except RayTaskError as error:
        if isinstance(error.cause, CreditError):
            raise CreditError(str(error.cause)) from error
        if isinstance(error.cause, OSError):
            return Ended(task, NOTHING, " ".join(str(error.cause).split()))
        raise
    except RayError as error:  # its node or process died, time after time
        return Ended(task, NOTHING, " ".join(str(error).split())[:200])
