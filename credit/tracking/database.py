"""The file of a SQLite store: one process makes it, whole; what is no database is left alone."""

import contextlib
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import AcquireReturnProxy, FileLock, Timeout

from credit.errors import CreditError

LOCK_SECONDS = 300


def read_only(path: Path) -> contextlib.closing[sqlite3.Connection]:
    """Return the database at `path`, for a `with`, not to be written."""
    return contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True))


def refuse_other_files(path: Path) -> None:
    """Refuse what is there and is no SQLite database, and leave nothing beside it.

    SQLite itself reads it: closing a file that this process has open as a database, too, would drop
    the locks that keep other processes from removing its log.
    """
    try:
        if not path.exists():
            return
        with read_only(path) as database:
            database.execute("PRAGMA schema_version")
    except (OSError, sqlite3.OperationalError) as error:
        raise _unwritable(path, error) from error
    except sqlite3.DatabaseError as error:
        raise _unwritable(path, "it is no SQLite database") from error


def _unwritable(path: Path, cause: object) -> CreditError:
    return CreditError(
        f"cannot write the tracking store {path} ({cause}): "
        "make it writable, or set MLFLOW_TRACKING_URI"
    )


@contextlib.contextmanager
def first_writer(path: Path) -> Iterator[None]:
    """Hold the database's lock file: several processes that create its tables at once die."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _held(f"{path}.lock"):
            if path.exists() and path.stat().st_size:
                with contextlib.closing(sqlite3.connect(path, timeout=30)) as database:
                    database.execute("PRAGMA journal_mode=WAL")  # halves what a write costs
                    database.execute("BEGIN IMMEDIATE")  # fails here, not after the first epoch
                    database.rollback()
            yield
    except (OSError, sqlite3.Error) as error:
        raise _unwritable(path, error) from error


def _held(path: str) -> AcquireReturnProxy:
    """Take a lock, for a `with`; say so where that takes long."""
    lock = FileLock(path)
    with contextlib.suppress(Timeout):
        return lock.acquire(timeout=5)
    print(f"waiting for {path}, which another process holds", file=sys.stderr)
    try:
        return lock.acquire(timeout=LOCK_SECONDS)
    except Timeout as error:
        raise CreditError(f"{path} is held by another process: end that, and try again") from error


def make(path: Path, fill: Callable[[str], object]) -> None:
    """Make the database's tables by `fill`, if it has none: all or none, in another file first."""
    if path.exists() and path.stat().st_size:
        with contextlib.closing(sqlite3.connect(path, timeout=30)) as database:
            if database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                return
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as folder:
        draft = Path(folder) / path.name
        fill(f"sqlite:///{draft}")
        with contextlib.closing(sqlite3.connect(draft)) as database:
            database.execute("PRAGMA journal_mode=WAL")  # halves what a write costs
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # all of it is in the one file
        for rest in ("-wal", "-shm"):  # of a database that was deleted: SQLite would add it
            path.with_name(path.name + rest).unlink(missing_ok=True)
        draft.replace(path)


def has_runs(path: Path) -> bool:
    """Return whether a run is in the database, or what is in it cannot be told."""
    try:
        with read_only(path) as database:
            found = "SELECT count(*) FROM sqlite_master WHERE name = 'runs'"
            if not database.execute(found).fetchone()[0]:
                return False
            return bool(database.execute("SELECT count(*) FROM runs").fetchone()[0])
    except sqlite3.Error:
        return True
