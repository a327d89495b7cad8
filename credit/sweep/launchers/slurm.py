"""Workers of a SLURM cluster, by submitit: an array of jobs, one for each stack.

A job that is preempted, or at the end of its time, saves its stack and is put into the queue again.
Jobs outlive the command that submitted them: the same command again waits for those that are still
there, and submits the others.
"""

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path

from credit.errors import CreditError, Stopped
from credit.sweep import worker
from credit.sweep.launchers.base import POLL_SECONDS, Detached, Ended, Take
from credit.sweep.options import Launch
from credit.sweep.tracked_stack import PATIENCE
from credit.sweep.worker import NOTHING, Settled, Task

try:
    import submitit
    from submitit.core.utils import FailedJobError
    from submitit.helpers import Checkpointable
except ImportError as error:
    raise CreditError("launcher=slurm needs submitit: pip install 'credit[slurm]'") from error

SAVE_SECONDS = 120
"""How long before its end a job is told to save; and how long it may take."""
RESULT_SECONDS = 10.0
"""How long the result of a job that is gone may take to appear."""
ARRAY = 1000
"""Most jobs of an array; more is refused by SLURM's default MaxArraySize."""
TIMEOUTS = 1000
"""How often a job may come to the end of its time and go on."""


class TrainStack(Checkpointable):
    """A job. SLURM's signal stops training at the next step, and submitit then requeues the job."""

    def __call__(self, task: Task) -> Settled | CreditError:
        """Train the stack, from its last checkpoint; return what the user can mend."""
        requeue = signal.getsignal(signal.SIGUSR2)
        try:
            return worker.run(task)
        except CreditError as error:
            return error
        except Stopped as stopped:
            number = signal.Signals[str(stopped)]
            if number != signal.SIGUSR2 or not callable(requeue):
                sys.exit(128 + number)  # cancelled, say: no result, and no place in the queue
            signal.signal(signal.SIGUSR2, signal.SIG_IGN)
            requeue(signal.SIGUSR2, None)
            raise RuntimeError("the job was not requeued") from stopped


class Slurm:
    """Jobs of a SLURM cluster; with `cluster="local"` submitit runs them as processes here."""

    def __init__(self, launch: Launch, gpus: int, cluster: str = "slurm") -> None:
        self._launch, self._gpus, self._cluster = launch, gpus, cluster

    def run(self, take: Take, watch: Callable[[], None]) -> Generator[Ended, None, None]:
        """Train stacks, as `Launcher.run`; jobs go on when the iterator is closed."""
        running: dict[str, tuple[submitit.Job, Task]] = {}
        queued = self._queued()
        while True:
            fresh = []
            while task := take():
                job = self._submitted(task, queued)
                fresh.append(task) if job is None else running.update({task.name: (job, task)})
            for start in range(0, len(fresh), ARRAY):
                running |= self._submit(fresh[start : start + ARRAY])
            if not running:
                return
            if self._launch.detach:
                ids = ", ".join(job.job_id for job, _ in running.values())
                raise Detached(
                    f"{len(running)} jobs are with SLURM ({ids}): the same command without "
                    "--detach waits for them and shows the result"
                )
            queued = self._queued()
            for name, (job, task) in list(running.items()):
                if not self._is_there(job, queued):
                    del running[name]
                    for note in _notes(task):
                        note.unlink(missing_ok=True)
                    yield _ended(job, task)
            watch()
            time.sleep(POLL_SECONDS)

    def _submit(self, tasks: list[Task]) -> dict[str, tuple[submitit.Job, Task]]:
        launch, cpus = self._launch, self._launch.worker_cpus or 1
        folder = tasks[0].state / "jobs"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # the store's password is in there
        executor = submitit.AutoExecutor(
            folder, cluster=self._cluster, slurm_max_num_timeout=TIMEOUTS
        )
        executor.update_parameters(
            name="credit",
            timeout_min=launch.slurm_timeout_min,
            cpus_per_task=cpus,
            gpus_per_node=self._gpus,
            **({} if self._gpus else {"mem_gb": launch.worker_memory_gb}),
            **({"slurm_partition": launch.slurm_partition} if launch.slurm_partition else {}),
            slurm_array_parallelism=launch.slurm_array_parallelism,
            slurm_signal_delay_s=SAVE_SECONDS,
            slurm_additional_parameters={"requeue": True, **_pairs(launch.slurm_extra)},
        )
        with PATIENCE.until_asked():  # a signal must not part the jobs from their notes
            try:
                with executor.batch():
                    sent = [replace(task, threads=cpus) for task in tasks]
                    jobs = [executor.submit(TrainStack(), task) for task in sent]
            except FailedJobError as error:
                cause = " ".join(str(error).split())[:300]
                raise CreditError(f"SLURM takes no job ({cause})") from error
            for job, task in zip(jobs, tasks, strict=True):
                for note in _notes(task):
                    note.write_text(json.dumps({"job": job.job_id}))
        return {task.name: (job, task) for job, task in zip(jobs, tasks, strict=True)}

    def _submitted(self, task: Task, queued: set[str] | None) -> submitit.Job | None:
        """Return a job that an earlier command submitted for a run of the stack, if it is there."""
        kind = submitit.SlurmJob if self._cluster == "slurm" else submitit.LocalJob
        for note in _notes(task):
            with contextlib.suppress(OSError, ValueError, KeyError):
                job = kind(note.parent, json.loads(note.read_text())["job"])
                if self._is_there(job, queued):
                    return job
        return None

    def _queued(self) -> set[str] | None:
        """Return the ids of the user's jobs that SLURM has; None if it does not answer."""
        if self._cluster != "slurm":
            return set()
        command = ["squeue", "--me", "--noheader", "--array", "--format=%i"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except FileNotFoundError as error:
            raise CreditError("launcher=slurm: there is no SLURM here (no squeue)") from error
        return set(done.stdout.split()) if done.returncode == 0 else None

    def _is_there(self, job: submitit.Job, queued: set[str] | None) -> bool:
        """Whether a job waits, runs or is requeued; what SLURM says, as sacct may know nothing."""
        if job.paths.result_pickle.exists():
            return False
        if self._cluster != "slurm":
            return not job.done()
        return queued is None or job.job_id in queued


def _ended(job: submitit.Job, task: Task) -> Ended:
    """Return what a job that is gone said, or raise what the user can mend."""
    deadline = time.monotonic() + RESULT_SECONDS
    while not job.paths.result_pickle.exists():  # a shared folder may show it late
        if time.monotonic() > deadline:
            return Ended(task, NOTHING, f"job {job.job_id} left no result, see {job.paths.stderr}")
        time.sleep(0.5)
    try:
        said = job.result()
    except FailedJobError as error:
        return Ended(task, NOTHING, str(error).strip().splitlines()[-1][:200])
    if isinstance(said, CreditError):
        raise said
    return Ended(task, said)


def _notes(task: Task) -> list[Path]:
    """Return where the job of each run is noted: another command may cut the stacks otherwise."""
    return [task.state / "jobs" / f"{spec.spec_hash}.json" for spec in task.specs]


def _pairs(text: str) -> dict[str, str]:
    """Return `a=b,c=d` as a dictionary; refuse items of another form."""
    pairs = [item.partition("=") for item in text.split(",") if item.strip()]
    if bad := next((name for name, equals, _ in pairs if not equals), None):
        raise CreditError(f"slurm_extra={text!r}: {bad!r} is not of the form name=value")
    return {name.strip(): value.strip() for name, _, value in pairs}
