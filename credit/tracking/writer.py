"""The door through which all else writes to the tracking store."""
# ruff: noqa: F401 - names that others import from here

from credit.tracking import notes, views
from credit.tracking.artifacts import (
    log_dataset,
    log_figure,
    log_json,
    log_table,
    log_text,
    markdown,
)
from credit.tracking.models import has_network, log_network
from credit.tracking.rows import Row
from credit.tracking.runs import (
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
