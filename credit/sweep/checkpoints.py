"""Checkpoints that runs go on from: those in the state folder, and those in the tracking store.

With `checkpoints=store` every stack uploads its checkpoint to its first run, below `resume/`, and
whoever goes on fetches it: a worker on another host may not see the first one's state folder.
"""

import contextlib
import shutil
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from credit.errors import CreditError
from credit.spec import RunSpec
from credit.tracking.store import AWAY, shown
from credit.tracking.writer import Row, Store, Writer
from credit.training import checkpoint

FOLDER = "resume"
UPLOAD_SECONDS = 300.0
"""Least time between two uploads of a stack's checkpoint, but for that when it is stopped."""
FLUSH_SECONDS = 30.0
"""How long an upload waits for the values that go before it."""


def find(
    specs: Iterable[RunSpec], found: Mapping[str, Row], writer: Writer, state: Path
) -> dict[str, tuple[checkpoint.Header, int]]:
    """Return the checkpoints from which runs can go on without a gap in their metrics.

    By spec hash: a checkpoint's header, and the row of the run in it.
    `found` is what the store has of the runs; a checkpoint of a run that it lacks is not used.
    Raises CreditError where a run's only checkpoint is not readable.
    """
    known = {spec.spec_hash for spec in specs} & found.keys()
    files, unreadable = checkpoint.find(state / "stacks", known)
    if unreadable and (lost := known - files.keys()):
        raise CreditError(f"{unreadable[0]} ({len(lost)} runs of this sweep have no other one)")
    for reason in unreadable:
        print(f"credit: {reason}; the one before is used", file=sys.stderr)
    return {
        key: (header, row)
        for key, (header, row) in files.items()
        if set(range(1, header.epoch + 1)) <= writer.known_steps(found[key].run_id)
    }


def upload(store: Store, writer: Writer, run_id: str, path: Path) -> None:
    """Replace a stack's uploaded checkpoint, if the store has accepted all values up to it."""
    if writer.flush(FLUSH_SECONDS):
        return
    header = checkpoint.read_header(path)
    name = f"{path.stem}.{header.epoch:06}.{header.steps:08}{path.suffix}"
    try:
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            shutil.copy(path, Path(folder) / name)
            store.client.log_artifact(run_id, f"{folder}/{name}", FOLDER)
        _delete(store, run_id, keep=name)
    except AWAY as error:
        cause = shown(" ".join(str(error).split()))[:200]
        print(f"credit: a checkpoint is not in the store ({cause})", file=sys.stderr)


def fetch(store: Store, found: Mapping[str, Row], state: Path) -> None:
    """Download the uploaded checkpoints of these runs, each whole or not at all.

    A checkpoint lies below one run of its stack, which may have ended before the others.
    """
    target = state / "stacks"
    target.mkdir(parents=True, exist_ok=True)
    for run in found.values():
        for file in store.client.list_artifacts(run.run_id, FOLDER):
            with tempfile.TemporaryDirectory(dir=target) as folder:
                got = Path(store.client.download_artifacts(run.run_id, file.path, folder))
                got.replace(target / got.name)


def _delete(store: Store, run_id: str, keep: str = "") -> None:
    """Delete the uploaded checkpoints of a run, but for the one named `keep`."""
    files = [file.path for file in store.client.list_artifacts(run_id, FOLDER)]
    if wrong := [path for path in files if Path(path).name != keep]:
        uri = store.client.get_run(run_id).info.artifact_uri or ""
        place = get_artifact_repository(uri, store.uri)
        for path in wrong:
            place.delete_artifacts(path)


def drop(path: Path) -> None:
    """Remove a stack's checkpoints of this host: its runs are finished."""
    for file in path.parent.glob(f"{path.stem}.*"):
        file.unlink(missing_ok=True)


def drop_uploads(store: Store, run_ids: Iterable[str]) -> None:
    """Remove the checkpoints in the store of runs that are finished."""
    with contextlib.suppress(*AWAY):  # left over, they are of no use and no harm
        for run_id in run_ids:
            _delete(store, run_id)
