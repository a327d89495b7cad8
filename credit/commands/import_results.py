"""Import exported runs into the tracking store, so that UI and notebooks show them untrained.

A folder of several exports is imported whole.
"""

import sys
from pathlib import Path

from tqdm import tqdm

from credit.commands.base import command, option
from credit.experiments import KINDS
from credit.lab.options import items
from credit.spec import check_names

EVERY = "all"

OPTIONS = (
    option(
        "folder",
        "results",
        "an export (runs.json, metrics.parquet, layers.parquet), or a folder of exports",
    ),
    option("only", EVERY, "exports of these kinds alone, comma-separated"),
)


@command("import", *OPTIONS, doc=__doc__)
def COMMAND(folder: str, only: str) -> int:
    from credit import report  # here: --help needs no MLflow
    from credit.tracking.marks import KIND
    from credit.tracking.portable import import_into
    from credit.tracking.store import open_store

    exports = sorted(path.parent for path in Path(folder).glob("*/runs.json"))
    if only != EVERY:
        check_names(items("only", only), [path.name for path in exports], "export", f"of {folder}")
        exports = [path for path in exports if path.name in items("only", only)]
    exports = exports or [Path(folder)]
    store, parents, said, status = open_store(), [], [], 0
    with tqdm(total=2 * len(exports), desc="exports, then reports", disable=None) as bar:
        for export in exports:
            done = import_into(store, export)
            said.append(
                f"{done.created} runs imported from {export}, {done.skipped} were already there"
            )
            parents += done.parents
            bar.update()
        for parent in dict.fromkeys(parents):  # of all its runs, which several exports may hold
            if store.client.get_run(parent).data.tags.get(KIND) not in KINDS:
                continue  # a comparison or a scoreboard, whose tables are its artifacts
            try:
                report.publish(store, parent)
            except Exception as error:  # a file may hold anything; its runs are there
                print(
                    f"credit: no report for run {parent} ({type(error).__name__}: {error}): when "
                    f"that is mended, credit report --parent {parent}",
                    file=sys.stderr,
                )
                status = 1
            bar.update()
    print("\n".join([*said, store.ui_command]))
    return status
