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
from credit.tracking.store import AWAY, sqlite_path
from credit.tracking.writer import Store, find_children
from credit.training import checkpoint

ABANDONED_S = 3600
"""A checkpoint that nobody has written on for so many seconds will not be finished."""


def state_folder(store: Store, given: str = "") -> Path:
    """Return where checkpoints and unsent values of this store's runs are kept.

    Below the folder `given`, unless it is empty or `store`; else below CREDIT_STATE; else `.credit`
    beside a SQLite store, or the user's state folder. `mlflow run <git URL>` throws its checkout
    away.
    """
    path = sqlite_path(store.uri)
    key = hashlib.sha256(f"{path or store.uri}#{store.experiment_id}".encode()).hexdigest()[:12]
    if given in ("", "store"):
        given = os.environ.get("CREDIT_STATE", "")
    if given:
        return Path(given).expanduser().resolve() / key
    users = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return (path.parent / ".credit" if path else users / "credit") / key


def make_writable(state: Path) -> None:
    """Make the folder, or refuse it now: a run must not find out later that it cannot write."""
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

    The store must just have said so of every run in a file: one that it does not know may be of
    another store at the same address. Files that cannot be read stay, and journals, with what may
    be nowhere else.
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
        gone = {key for key in hashes - found.keys() if _is_deleted(store, key)}
    except AWAY:
        return
    for header in headers:
        if not {spec.spec_hash for spec in header.specs} <= settled | gone:
            continue
        if header.path.is_relative_to(state / "final"):
            shutil.rmtree(header.path.parent.parent, ignore_errors=True)
        else:
            header.path.unlink(missing_ok=True)


def _is_deleted(store: Store, spec_hash: str) -> bool:
    """Return whether the store has a deleted run of this hash."""
    wanted = f"tags.`{SPEC}` = '{spec_hash}' and tags.`{SCHEMA_TAG}` = '{SCHEMA}'"
    return bool(
        store.client.search_runs(
            [store.experiment_id], wanted, run_view_type=ViewType.DELETED_ONLY, max_results=1
        )
    )
