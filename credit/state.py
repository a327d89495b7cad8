"""The state folder: where checkpoints and unsent values lie until the tracking store has it all."""

import contextlib
import hashlib
import os
import shutil
import tempfile
import time
from pathlib import Path

from mlflow.entities import ViewType

from credit.errors import CreditError
from credit.spec import SCHEMA
from credit.tracking.marks import SCHEMA_TAG, SPEC
from credit.tracking.store import AWAY, project_root, sqlite_path
from credit.tracking.writer import Store, find_children
from credit.training import checkpoint

ABANDONED_S = 3600
"""A checkpoint that nobody has written on for so many seconds will not be finished."""


def state_folder(store: Store) -> Path:
    """Where checkpoints and unsent values of this store's runs are kept.

    Below CREDIT_STATE, else below `.credit` in the project root.
    """
    root = Path(os.environ.get("CREDIT_STATE") or project_root() / ".credit")
    where = sqlite_path(store.uri) or store.uri
    key = hashlib.sha256(f"{where}#{store.experiment_id}".encode()).hexdigest()[:12]
    return root / key


def make_writable(state: Path) -> None:
    """Make the folder, and see that files can be: a run must not find out later that they cannot.

    Raises:
        CreditError: nothing can be written there.
    """
    try:
        state.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=state):
            pass
    except OSError as error:
        raise CreditError(
            f"{state} cannot be written ({error.strerror}), where checkpoints and unsent values "
            "go: set CREDIT_STATE to a folder that you can write"
        ) from error


def drop_leftovers(store: Store, state: Path) -> None:
    """Remove checkpoints, and weights to upload, of runs that are finished, failed or deleted.

    A file goes only if the store has just answered so of every run in it: one that the store does
    not know may be of another store, which had this address before. One that cannot be read stays,
    for its owner to judge; so do journals, which are small and hold what may be nowhere else.
    """
    for path in state.glob("stacks/.*.partial"):  # of a process that was killed while it wrote
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > ABANDONED_S:
                path.unlink()
    headers = []
    for path in [*state.glob("stacks/*.safetensors"), *state.glob("final/*/*/last.safetensors")]:
        with contextlib.suppress(CreditError):
            headers.append(checkpoint.read_header(path))
    hashes = {spec.spec_hash for header in headers for spec in header.specs}
    try:
        found = find_children(store, hashes) if hashes else {}
        settled = {key for key, run in found.items() if run.status in ("FINISHED", "FAILED")}
        done = [
            header
            for header in headers
            if all(
                key in settled or (key not in found and _is_deleted(store, key))
                for key in (spec.spec_hash for spec in header.specs)
            )
        ]
    except AWAY:
        return
    for header in done:
        if header.path.is_relative_to(state / "final"):
            shutil.rmtree(header.path.parent.parent, ignore_errors=True)
        else:
            header.path.unlink(missing_ok=True)


def _is_deleted(store: Store, spec_hash: str) -> bool:
    """Whether the store has a deleted run of this hash."""
    wanted = f"tags.`{SPEC}` = '{spec_hash}' and tags.`{SCHEMA_TAG}` = '{SCHEMA}'"
    return bool(
        store.client.search_runs(
            [store.experiment_id], wanted, run_view_type=ViewType.DELETED_ONLY, max_results=1
        )
    )
