"""Import exported runs into the tracking store, so that UI and notebooks show them untrained."""

from credit import cli
from credit.tracking.portable import import_into
from credit.tracking.store import open_store

DEFAULTS = {"folder": "results/ladder"}
HELPS = {"folder": "an export: runs.json, metrics.parquet, artifacts"}


def main() -> None:
    """Read the folder into the store."""
    folder = cli.options(__doc__, DEFAULTS, HELPS)["folder"]
    store = open_store()
    done = import_into(store, folder)
    print(f"{done.created} runs imported from {folder}, {done.skipped} were already there")
    print(store.ui_command)


if __name__ == "__main__":
    cli.run(main)
