"""Import exported runs into the tracking store, so that UI and notebooks show them untrained.

A folder of several exports is imported whole.
"""

import sys
from pathlib import Path

from credit.commands.base import command, option

FOLDER = option(
    "folder",
    "results",
    "an export (runs.json, metrics.parquet, layers.parquet), or a folder of exports",
)


@command("import", FOLDER, doc=__doc__)
def COMMAND(folder: str) -> int:
    from credit import report  # here: --help needs no MLflow
    from credit.tracking.portable import import_into
    from credit.tracking.store import open_store

    exports = sorted(path.parent for path in Path(folder).glob("*/runs.json")) or [Path(folder)]
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
