"""Where the numbers of a report come from: store, parent run, code, versions, dates."""

import re
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from platform import python_version
from typing import NamedTuple
from urllib.parse import quote

from credit.spec import SCHEMA
from credit.tracking.marks import COMMIT, DIRTY, IMPORTED_FROM, KIND, NOTE, SCHEMA_TAG, settings
from credit.tracking.reader import Reader
from credit.tracking.rows import select
from credit.tracking.store import is_http, project_root, shown, sqlite_path

_PACKAGES = ("credit", "mlflow", "pandas", "numpy", "matplotlib", "jinja2", "torch")
_CHANGED = {"true": True, "false": False}


class Origin(NamedTuple):
    """A parent run and the store that holds it."""

    run_id: str
    name: str
    kind: str
    status: str
    note: str
    params: Mapping[str, str]
    experiment: str  # MLflow's id of the experiment
    uri: str  # without user name and password
    http: bool
    started: datetime | None
    ended: datetime | None
    commits: Counter[str]  # of the child runs; "" where none was noted
    changed: int  # child runs whose code differed from the commit
    unsaid: int  # child runs that do not say whether it did
    commit: str  # of the parent; "" where none was noted
    parent_changed: bool | None  # whether its code differed from the commit; None: it does not say
    imported: int  # child runs that were imported
    spans: tuple[tuple[int, int], ...]  # start and end of each child run, milliseconds

    @property
    def ui_command(self) -> str:
        """What to type to see the runs; empty where a server shows them."""
        return "" if self.http else f"mlflow ui --backend-store-uri {shlex.quote(self.uri)}"

    def page(self, run_id: str) -> str:
        """Return the address of a run's page on the server."""
        page = f"{self.uri.rstrip('/')}/#/experiments/{quote(self.experiment, safe='')}/runs/"
        return page + quote(run_id, safe="")


def origin_of(reader: Reader, parent_id: str, run_ids: Iterable[str]) -> Origin:
    """What the store knows of a parent run and of its child runs.

    Raises:
        CreditError: it does not have the parent.
    """
    parent = reader.run(parent_id)
    info, tags = parent.info, parent.data.tags
    rows = select(reader.uri, reader.client, reader.experiments, {SCHEMA_TAG: SCHEMA}, set(run_ids))
    return Origin(
        run_id=parent_id,
        name=info.run_name or "",
        kind=tags.get(KIND, ""),
        status=info.status,
        note=tags.get(NOTE, ""),
        params=settings(parent.data.params),
        experiment=str(info.experiment_id),
        uri=_shown(reader.uri),
        http=is_http(reader.uri),
        started=_time(info.start_time),
        ended=_time(info.end_time),
        commits=Counter(_commit(row.tags.get(COMMIT, "")) for row in rows),
        changed=sum(row.tags.get(DIRTY) == "true" for row in rows),
        unsaid=sum(row.tags.get(DIRTY) not in _CHANGED for row in rows),
        commit=_commit(tags.get(COMMIT, "")),
        parent_changed=_CHANGED.get(tags.get(DIRTY, "")),
        imported=sum(IMPORTED_FROM in row.tags for row in rows),
        spans=tuple((row.start, row.end) for row in rows if row.start and row.end),
    )


def versions() -> dict[str, str]:
    """Of what made the report; what is not installed is left out."""
    found = {"Python": python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def when(time: datetime | None) -> str:
    """A time to the minute, UTC."""
    return time.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC") if time else ""


def lasted(seconds: float) -> str:
    """A duration: "1 h 45 min", "12 min", "3.1 s"."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def _shown(uri: str) -> str:
    """A store's URI without secrets; a file in the project's folder by its name alone."""
    path, root = sqlite_path(uri), project_root()
    if path and path.is_relative_to(root):
        return f"sqlite:///{path.relative_to(root)}"
    return shown(uri)


def _commit(text: str) -> str:
    """A commit's hash, or nothing: it ends up in a command."""
    return text if re.fullmatch(r"[0-9a-f]{7,64}", text) else ""


def _time(milliseconds: int | None) -> datetime | None:
    return datetime.fromtimestamp(milliseconds / 1000, UTC) if milliseconds else None
