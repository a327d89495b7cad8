"""Import exported runs into the tracking store, so that UI and notebooks show them untrained.

A folder of several exports is imported whole.
"""

import sys
from pathlib import Path

from credit import cli, publish
from credit.errors import CreditError
from credit.tracking.portable import import_into
from credit.tracking.store import open_store

DEFAULTS = {"folder": "results"}
HELPS = {"folder": "an export (runs.json, metrics.parquet, artifacts), or a folder of exports"}


def main() -> None:
    """Read the folder into the store."""
    folder = Path(cli.options(__doc__, DEFAULTS, HELPS)["folder"])
    exports = sorted(path.parent for path in folder.glob("*/runs.json")) or [folder]
    store, parents = open_store(), []
    for export in exports:
        done = import_into(store, export)
        print(f"{done.created} runs imported from {export}, {done.skipped} were already there")
        parents += done.parents
    for parent in parents:  # report, page and views: of all runs, which several exports may hold
        try:
            publish.publish(store, parent)
        except CreditError as error:  # its runs are there all the same
            print(f"credit: no report for run {parent}: {error}", file=sys.stderr)
    print(store.ui_command)


if __name__ == "__main__":
    cli.run(main)
