"""Workers of this machine: one process for each stack, as many at once as there are places."""

import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from typing import Any

from credit.errors import CreditError, Stopped
from credit.sweep import worker
from credit.sweep.launchers.base import POLL_SECONDS, Ended, Take
from credit.sweep.worker import NOTHING, Task

LEAVE_SECONDS = 120.0
"""How long workers that are asked to stop may take to save and to send what they have."""


class Workers:
    """Processes of this machine.

    Args:
        count: how many train at once.
        cpus: threads of each.
        devices: GPUs, of which each worker sees one; [] for none.
    """

    def __init__(self, count: int, cpus: int, devices: Sequence[str]) -> None:
        self._places = [devices[i % len(devices)] if devices else "" for i in range(count)]
        self._cpus = cpus
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["credit.sweep.worker"])

    def run(self, take: Take, watch: Callable[[], None]) -> Generator[Ended, None, None]:
        """Train stacks, as `Launcher.run`."""
        busy: dict[Connection, tuple[Any, Task, str]] = {}  # by what its answer comes through
        free = list(self._places)
        try:
            while True:
                while free and (task := take()):
                    place = free.pop()
                    process, answer = self._start(task, place)
                    busy[answer] = (process, task, place)
                if not busy:
                    return
                for answer in wait(list(busy), POLL_SECONDS):
                    assert isinstance(answer, Connection)
                    process, task, place = busy.pop(answer)
                    free.append(place)
                    yield _ended(process, answer, task)
                watch()
        finally:
            for process, *_ in busy.values():
                process.terminate()
            for process, *_ in busy.values():
                process.join(LEAVE_SECONDS)
                process.kill()

    def _start(self, task: Task, place: str) -> tuple[Any, Connection]:
        answer, sender = self._context.Pipe(duplex=False)
        seen = {"CUDA_VISIBLE_DEVICES": place} if place else {}
        task = replace(task, threads=self._cpus, environment={**task.environment, **seen})
        process = self._context.Process(target=_main, args=(task, sender))
        process.start()
        sender.close()
        return process, answer


def _ended(process: Any, answer: Connection, task: Task) -> Ended:
    """Return what a worker that has ended said, or raise what the user can mend."""
    try:
        said = answer.recv()
        process.join()
    except (EOFError, OSError):  # it died, perhaps in the middle of its answer
        process.join()
        return Ended(task, NOTHING, f"exit status {process.exitcode}")
    if isinstance(said, CreditError):
        raise said
    return Ended(task, said)


def _main(task: Task, answer: Connection) -> None:
    """Train a stack and say how it ended; stop when the process that asked for it is gone."""
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    try:
        answer.send(worker.run(task))
    except CreditError as error:
        answer.send(error)
    except Exception as error:
        traceback.print_exc()
        answer.send(CreditError(f"a worker failed ({type(error).__name__}: {error}), see above"))
    except Stopped as stopped:
        sys.exit(128 + signal.Signals[str(stopped)])


def _leave_with_parent() -> None:
    """Ask this process to stop, as a signal does, when the one that started it is gone."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
