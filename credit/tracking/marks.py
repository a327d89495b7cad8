"""What runs are known by: the names of their tags, who owns them, where they come from.

`credit.schema` on all; `credit.kind` and `credit.sweep_hash` on parents; `credit.spec_hash` on
children, and there `credit.sweep.<id>` for every parent that uses the run (the UI nests it below
only one of them, `mlflow.parentRunId`); `credit.owner` (host:pid:start) and `credit.heartbeat`
(unix seconds) on a run that a process trains.
"""

import functools
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.tracking.context.registry import resolve_tags

from credit.tracking.store import project_root

SCHEMA_TAG, KIND, SWEEP, SPEC = (
    "credit.schema",
    "credit.kind",
    "credit.sweep_hash",
    "credit.spec_hash",
)
OWNER, HEARTBEAT, REASON = "credit.owner", "credit.heartbeat", "credit.reason"
CONTINUED_BY, IMPORTED_FROM = "credit.continued_by", "credit.imported_from"
PARENT, NOTE, SOURCE = "mlflow.parentRunId", "mlflow.note.content", "mlflow.source.name"
COMMIT, ENTRY_POINT = "mlflow.source.git.commit", "mlflow.project.entryPoint"
DIRTY = "credit.git_dirty"
"""`true` where the code of the package differed from the commit."""
CHILDREN_FILE = "runs.json"
RESOLVED = "sweep."
"""Before the name of a parent's parameter: the value that its runs have. Under the name itself
`mlflow run` logs what was typed, such as `preset`, and no parameter can be changed."""
LEFT = "preset"
"""The value of an option that is left to the preset."""
MEMBER = "credit.sweep."

SILENT_S = 600
"""A run on another host whose heartbeat is older than this many seconds counts as abandoned."""


def search(
    client: MlflowClient, experiments: list[str], tags: Mapping[str, str], filter: str = ""
) -> Iterator[Run]:
    """All live runs that carry `tags` (and match `filter`), newest first, page by page."""
    clauses = [f"tags.`{key}` = '{value}'" for key, value in tags.items()] + [filter] * bool(filter)
    token = None
    while True:
        page = client.search_runs(
            experiments, " and ".join(clauses), max_results=1000, page_token=token
        )
        yield from page
        token = page.token
        if not token:
            return


def settings(params: Mapping[str, str]) -> dict[str, str]:
    """Return a parent's options as its runs have them, by the options' own names.

    An option that an older parent only knows as left to the preset is left out.
    """
    plain = {k: v for k, v in params.items() if not k.startswith(RESOLVED) and v != LEFT}
    return plain | {
        k.removeprefix(RESOLVED): v for k, v in params.items() if k.startswith(RESOLVED)
    }


def member_tag(parent_id: str) -> dict[str, str]:
    """The tag of every run that this parent uses, whichever parent it was trained for."""
    return {f"{MEMBER}{parent_id}": "1"}


def sweeps_of(tags: Mapping[str, str]) -> set[str]:
    """Ids of the parents that use the run with these tags; old runs name only their first one."""
    named = {key.removeprefix(MEMBER) for key in tags if key.startswith(MEMBER)}
    return named | {tags[PARENT]} if PARENT in tags else named


def is_busy(status: str, tags: Mapping[str, str]) -> bool:
    """Whether another process trains this run: alive on this host, or heard of lately elsewhere."""
    owner = tags.get(OWNER)
    if status != "RUNNING" or not owner:
        return False
    host, pid, started = (["", "", *owner.rsplit(":", 2)])[-3:]
    if not (pid.isdecimal() and started.isdecimal()):  # no process is called so
        return False
    if host != socket.gethostname():
        return time.time() - heartbeat(tags) < SILENT_S
    if int(pid) == os.getpid():
        return False
    try:
        process = psutil.Process(int(pid))
        same = abs(process.create_time() - int(started)) < 2  # else the pid is another process now
        return same and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.NoSuchProcess, OverflowError):
        return False


def heartbeat(tags: Mapping[str, str]) -> int:
    """Unix seconds of a run's last sign of life, 0 if there was none."""
    said = tags.get(HEARTBEAT, "")
    return int(said) if re.fullmatch("[0-9]{1,15}", said) else 0


def owner_tags() -> dict[str, str]:
    """The tags by which this process claims a run."""
    started = int(psutil.Process().create_time())
    owner = f"{socket.gethostname()}:{os.getpid()}:{started}"
    return {OWNER: owner, HEARTBEAT: str(int(time.time()))}


@functools.cache
def context_tags() -> dict[str, str]:
    """User, source file, entry point and git commit; paths relative to the project."""
    root = project_root()
    tags = dict(resolve_tags())
    script = Path(sys.argv[0]).resolve() if sys.argv[0] else None
    if script and script.is_relative_to(root):
        tags[SOURCE] = script.relative_to(root).as_posix()
        if script.parent.name == "entrypoints":
            tags[ENTRY_POINT] = script.stem
    try:
        tags[COMMIT] = _git(root, "rev-parse", "HEAD")
        tags[DIRTY] = str(bool(_git(root, "status", "--porcelain", "-uno", "--", "credit"))).lower()
    except (OSError, subprocess.CalledProcessError):
        tags.pop(COMMIT, None)  # no git, or not a checkout
    return tags


def _git(root: Path, *words: str) -> str:
    command = ["git", "-C", str(root), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
