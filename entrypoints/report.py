"""Rebuild table, figure, verdicts and report of a parent run from the store. No training."""

from credit import cli, publish
from credit.analysis.selection import choose_parent
from credit.spec import check_names
from credit.tracking.reader import connect
from credit.tracking.store import open_store

KINDS = (*publish.KINDS, publish.UNTRAINED)
DEFAULTS = {"parent": "latest", "kind": "ladder"}
HELPS = {
    "parent": "id of the parent run; latest is the newest one of that kind",
    "kind": f"kind of parent run that latest means: {', '.join(KINDS)}",
}


def main() -> None:
    """Find the parent run and publish it again."""
    chosen = cli.options(__doc__, DEFAULTS, HELPS)
    check_names([chosen["kind"]], KINDS, "kind")
    store = open_store()
    parent = chosen["parent"]
    if parent == "latest":
        parent = choose_parent(connect(store.uri), chosen["kind"])
    print(publish.publish(store, parent))


if __name__ == "__main__":
    cli.run(main)
