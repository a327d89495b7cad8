"""Measure finished runs again, from their checkpoints, and log what their store lacks.

For measurements that are newer than a run; a run that has no MLflow model gets it, too. Nothing is
trained, and no value that is there changes, but for the counted costs, which follow the code.
"""

from credit import cli
from credit.analysis.selection import choose_parent
from credit.remeasuring import chosen, remeasure
from credit.tracking.reader import connect
from credit.tracking.store import open_store

DEFAULTS = {
    "parent": "latest",
    "kind": "ladder",
    "measurements": "alignment",
    "trust_rules": "none",
}
HELPS = {
    "parent": "id of the parent run; latest is the newest one of that kind",
    "kind": "kind of parent run that latest means",
    "trust_rules": cli.TRUST,
    "measurements": "which, comma-separated: modules of credit/measures; all is every one",
}


def main() -> None:
    """Find the parent run and measure what belongs to it."""
    given = cli.options(__doc__, DEFAULTS, HELPS)
    names = chosen(given["measurements"])
    store = open_store()
    reader = connect(store.uri)
    parent = given["parent"]
    if parent == "latest":
        parent = choose_parent(reader, given["kind"])
    for line in remeasure(store, reader, parent, names, cli.trusted(given["trust_rules"])):
        print(line)


if __name__ == "__main__":
    cli.run(main)
