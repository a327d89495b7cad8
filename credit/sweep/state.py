"""The state folder: where checkpoints and unsent values lie until the tracking store has it all."""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Mapping
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

    Below the folder `given`, unless it is empty or `store`; else below CREDIT_STATE; else below
    `.credit` beside a SQLite store, or the user's own state folder for a server. Never in the
    checkout as such: `mlflow run <git URL>` throws it away.
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


def read_plan(path: Path) -> dict[str, str]:
    """Return the stacks in which a sweep's runs began, by spec hash; nothing if none is noted."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return {}


def write_plan(path: Path, plan: Mapping[str, str]) -> None:
    """Note the stacks in which a sweep's runs begin, by spec hash.

    Raises:
        CreditError: the file cannot be written.
    """
    partial = path.with_suffix(".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps(plan))
        partial.replace(path)
    except OSError as error:
        raise CreditError(
            f"cannot write {path} ({error.strerror}): free the disk and run the same command again"
        ) from error


def drop_leftovers(store: Store, state: Path) -> None:
    """Remove checkpoints, and weights to upload, of runs that are finished, failed or deleted.

    A file goes only if the store has just answered so of every run in it: one that it does not know
    may be of another store, which had this address before. One that cannot be read stays, and so do
    journals, which may hold what is nowhere else.
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
