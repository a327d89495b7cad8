"""Import exported runs into the tracking store, so that UI and notebooks show them untrained.

A folder of several exports is imported whole.
"""

import sys
from pathlib import Path

from credit import cli

DEFAULTS = {"folder": "results"}
HELPS = {"folder": "an export (runs.json, metrics.parquet, layers.parquet), or a folder of exports"}


def main() -> int:
    """Read the folder into the store; return 1 if a report could not be made."""
    folder = Path(cli.options(__doc__, DEFAULTS, HELPS)["folder"])
    from credit import report  # here: --help needs no MLflow
    from credit.tracking.portable import import_into
    from credit.tracking.store import open_store

    exports = sorted(path.parent for path in folder.glob("*/runs.json")) or [folder]
    store, parents = open_store(), []
    for export in exports:
        done = import_into(store, export)
        print(f"{done.created} runs imported from {export}, {done.skipped} were already there")
        parents += done.parents
    status = 0
    for parent in dict.fromkeys(parents):  # of all its runs, which several exports may hold
        try:
            report.publish(store, parent)
        except Exception as error:  # a file of an export may hold anything; its runs are there
            print(
                f"credit: no report for run {parent} ({type(error).__name__}: {error}): when that "
                f"is mended, python -m entrypoints.report --parent {parent}",
                file=sys.stderr,
            )
            status = 1
    print(store.ui_command)
    return status


if __name__ == "__main__":
    cli.run(main)
