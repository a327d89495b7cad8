"""The options that name a parent run."""

from typing import TYPE_CHECKING

from credit.commands.base import option
from credit.experiments import KINDS
from credit.spec import check_names

if TYPE_CHECKING:  # MLflow takes seconds to load, and --help needs it not
    from credit.tracking.reader import Reader

LATEST = "latest"
PARENT = (
    option("parent", LATEST, "id of the parent run; latest is the newest one of that kind"),
    option("kind", "ladder", f"kind of parent run that latest means: {', '.join(KINDS)}"),
)


def parent_of(reader: "Reader", parent: str, kind: str) -> str:
    """Return the parent run that the options name."""
    check_names([kind], KINDS, "kind")
    return reader.newest(kind) if parent == LATEST else parent
