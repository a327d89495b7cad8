"""Rebuild table, figure and verdicts of a parent run from the tracking server. No training."""

from credit import cli, publish
from credit.analysis.selection import choose_parent
from credit.spec import check_names
from credit.tracking.reader import connect
from credit.tracking.store import open_store

DEFAULTS = {"parent": "latest", "kind": "ladder"}
HELPS = {
    "parent": "id of the parent run; latest is the newest one of that kind",
    "kind": f"kind of parent run that latest means: {', '.join(publish.KINDS)}",
}


def main() -> None:
    """Find the parent run and publish it again."""
    chosen = cli.options(__doc__, DEFAULTS, HELPS)
    check_names([chosen["kind"]], publish.KINDS, "kind")
    store = open_store()
    parent = chosen["parent"]
    if parent == "latest":
        parent = choose_parent(connect(store.uri), chosen["kind"])
    print(publish.publish(store, parent))


if __name__ == "__main__":
    cli.run(main)
