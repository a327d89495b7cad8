"""The file of a SQLite store: one process makes it, whole; what is no database is left alone."""

import contextlib
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from credit.errors import CreditError

LOCK_SECONDS = 60


def read_only(path: Path) -> contextlib.closing[sqlite3.Connection]:
    """Return the database at `path`, for a `with`, not to be written."""
    return contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True))


@contextlib.contextmanager
def first_writer(path: Path, fill: Callable[[str], object]) -> Iterator[None]:
    """Hold the database's lock file: several processes that create its tables at once die.

    `fill` makes the tables of a new database, by its URI. What is there and is no SQLite database
    is refused, and nothing left beside it. SQLite itself reads it: closing a file that this process
    has open as a database, too, would drop the locks that keep other processes from removing its
    log.
    """
    try:
        _has_tables(path)  # refuses other files
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock", timeout=LOCK_SECONDS):
            if not _has_tables(path):
                _make(path, fill)
            with contextlib.closing(sqlite3.connect(path, timeout=30)) as database:
                database.execute("PRAGMA journal_mode=WAL")  # halves what a write costs
                database.execute("BEGIN IMMEDIATE")  # fails here, not after the first epoch
                database.rollback()
            yield
    except Timeout as error:
        raise CreditError(
            f"{path}.lock is held by another process: end that, and try again"
        ) from error
    except (OSError, sqlite3.Error) as error:
        raise CreditError(
            f"cannot write the tracking store {path} ({error}): "
            "make it writable, or set MLFLOW_TRACKING_URI"
        ) from error


def _has_tables(path: Path) -> bool:
    if not path.exists():
        return False
    with read_only(path) as database:
        return bool(database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])


def _make(path: Path, fill: Callable[[str], object]) -> None:
    """Make the database with all of its tables or none, in another file first."""
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as folder:
        draft = Path(folder) / path.name
        fill(f"sqlite:///{draft}")
        with contextlib.closing(sqlite3.connect(draft)) as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # all of it is in the one file
        for rest in ("-wal", "-shm"):  # of a database that was deleted: SQLite would add it
            path.with_name(path.name + rest).unlink(missing_ok=True)
        draft.replace(path)
