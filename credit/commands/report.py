"""Rebuild table, figure, verdicts and report of a parent run from the store. No training."""

from credit.commands.base import PARENT, command, parent_of


@command("report", *PARENT, doc=__doc__)
def COMMAND(parent: str, kind: str) -> None:
    from credit import report  # here: --help needs no MLflow
    from credit.tracking.reader import connect
    from credit.tracking.store import open_store

    store = open_store()
    print(report.publish(store, parent_of(connect(store.uri), parent, kind)))
