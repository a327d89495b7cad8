"""Measure finished runs again, from their checkpoints, and log what their store lacks.

For measurements that are newer than a run; a run that has no MLflow model gets it, too. Nothing is
trained, and no value that is there changes, but for the counted costs, which follow the code.
"""

from credit import cli

DEFAULTS = {
    "parent": "latest",
    "kind": "ladder",
    "measurements": "alignment",
    "trust_rules": "none",
}
HELPS = {
    **cli.PARENT_HELPS,
    "trust_rules": cli.TRUST,
    "measurements": "which, comma-separated: modules of credit/measures; all is every one",
}


def main() -> None:
    """Find the parent run and measure what belongs to it."""
    given = cli.options(__doc__, DEFAULTS, HELPS)
    from credit.finished.remeasuring import (
        chosen,
        remeasure,
    )  # here: --help needs neither torch nor MLflow
    from credit.tracking.reader import connect
    from credit.tracking.store import open_store

    names = chosen(given["measurements"])
    store = open_store()
    reader = connect(store.uri)
    parent = cli.parent_of(reader, given)
    for line in remeasure(store, reader, parent, names, cli.trusted(given["trust_rules"])):
        print(line)


if __name__ == "__main__":
    cli.run(main)
