"""Tags of runs: their names, and where runs come from.

`credit.schema` on all; `credit.kind` and `credit.sweep_hash` on parents; `credit.spec_hash` on
children, and there `credit.sweep.<id>` for every parent that uses the run (the UI nests it below
only one of them, `mlflow.parentRunId`); `credit.owner` on a run that was trained: the place whose
commands train it (`sweep.running`).
"""

import functools
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.tracking.context.registry import resolve_tags

from credit.tracking.store import project_root

SCHEMA_TAG, KIND = "credit.schema", "credit.kind"
SWEEP, SPEC = "credit.sweep_hash", "credit.spec_hash"
OWNER, REASON = "credit.owner", "credit.reason"
CONTINUED_BY, IMPORTED_FROM = "credit.continued_by", "credit.imported_from"
PARENT, NOTE, SOURCE = "mlflow.parentRunId", "mlflow.note.content", "mlflow.source.name"
COMMIT, ENTRY_POINT = "mlflow.source.git.commit", "mlflow.project.entryPoint"
DIRTY = "credit.git_dirty"
"""`true` where the code of the package differed from the commit."""
TORCH, DEVICE, THREADS = "credit.torch", "credit.device_name", "credit.threads"
"""Of the process that began a run: torch's version, what its device is called, CPU threads."""
CHILDREN_FILE = "runs.json"
RESOLVED = "sweep."
"""Before the name of a parent's parameter: the value that its runs have. Under the name itself
`mlflow run` logs what was typed, such as `preset`, and no parameter can be changed."""
LEFT = "preset"
"""The value of an option that is left to the preset."""
MEMBER = "credit.sweep."


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
    """Return a parent's options as its runs have them, by the options' own names."""
    plain = {k: v for k, v in params.items() if not k.startswith(RESOLVED) and v != LEFT}
    return plain | {
        k.removeprefix(RESOLVED): v for k, v in params.items() if k.startswith(RESOLVED)
    }


def member_tag(parent_id: str) -> dict[str, str]:
    """The tag of every run that this parent uses, whichever parent it was trained for."""
    return {f"{MEMBER}{parent_id}": "1"}


def sweeps_of(tags: Mapping[str, str]) -> set[str]:
    """Ids of the parents that use the run with these tags."""
    return {key.removeprefix(MEMBER) for key in tags if key.startswith(MEMBER)}


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
