"""Rebuild table, figure, verdicts and report of a parent run from the store. No training."""

from credit import cli

DEFAULTS = {"parent": "latest", "kind": "ladder"}
HELPS = cli.PARENT_HELPS


def main() -> None:
    """Find the parent run and publish it again."""
    chosen = cli.options(__doc__, DEFAULTS, HELPS)
    from credit import report  # here: --help needs no MLflow
    from credit.tracking.reader import connect
    from credit.tracking.store import open_store

    store = open_store()
    print(report.publish(store, cli.parent_of(connect(store.uri), chosen)))


if __name__ == "__main__":
    cli.run(main)
