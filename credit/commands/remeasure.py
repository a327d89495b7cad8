"""Measure finished runs again, from their checkpoints, and log what their store lacks.

For measurements that are newer than a run; a run that has no MLflow model gets it, too. Nothing is
trained, and no value that is there changes, but for the counted costs, which follow the code.
"""

from credit.commands.base import PARENT, TRUST_HELP, command, option, parent_of, trusted

OPTIONS = (
    *PARENT,
    option(
        "measurements",
        "alignment",
        "which, comma-separated: modules of credit/measures; all is every one",
    ),
    option("trust_rules", "none", TRUST_HELP),
)


@command("remeasure", *OPTIONS, doc=__doc__)
def COMMAND(parent: str, kind: str, measurements: str, trust_rules: str) -> None:
    from credit.finished.remeasuring import chosen, remeasure  # here: --help needs no torch
    from credit.tracking.reader import connect
    from credit.tracking.store import open_store

    names = chosen(measurements)
    store = open_store()
    reader = connect(store.uri)
    parent_id = parent_of(reader, parent, kind)
    for line in remeasure(store, reader, parent_id, names, trusted(trust_rules)):
        print(line)
