"""The door through which the sweep writes to the tracking store.

Everything that writes to MLflow is reached from here: `Writer` for metric values and what follows
them, the functions that open and end runs, and those that upload artifacts.
"""

from credit.tracking import notes, views
from credit.tracking.artifacts import (
    delete_files,
    fetch_files,
    log_artifact_file,
    log_dataset,
    log_figure,
    log_json,
    log_table,
    log_text,
    markdown,
)
from credit.tracking.models import has_network, log_network
from credit.tracking.runs import (
    FoundRun,
    find_children,
    finish,
    join,
    log_children,
    log_results,
    open_child,
    open_parent,
)
from credit.tracking.sending import Writer
from credit.tracking.store import Store, open_store

__all__ = [
    "FoundRun",
    "Store",
    "Writer",
    "delete_files",
    "fetch_files",
    "find_children",
    "finish",
    "has_network",
    "join",
    "log_artifact_file",
    "log_children",
    "log_dataset",
    "log_figure",
    "log_json",
    "log_network",
    "log_results",
    "log_table",
    "log_text",
    "markdown",
    "notes",
    "open_child",
    "open_parent",
    "open_store",
    "views",
]
