"""Run the published programme, and set every reported number beside ours.

Experiments run at published settings, the shortest first; what the store holds as finished is not
trained again, and an experiment that fails does not stop the others.
"""

import sys
from pathlib import Path

from credit.commands.base import command, option
from credit.lab.options import PRESET, items
from credit.values import parse_value

EVERY, NONE = "all", "none"
OPTIONS = (
    option("only", EVERY, "kinds of experiments, comma-separated; all: with reported numbers"),
    option("dry_run", "false", "print runs, hours and totals, and train nothing", bool),
    option("device", PRESET, "where experiments train: auto, cpu, cuda or cuda:N"),
    option("document", NONE, "only write the scoreboard of the exports in `folder` to this file"),
    option("folder", "results", "a folder of exports"),
)


@command("reproduce", *OPTIONS, doc=__doc__)
def COMMAND(only: str, dry_run: str, device: str, document: str, folder: str) -> int:
    dry = parse_value("dry_run", bool, dry_run)
    from credit.report import reproduction  # here: --help needs no torch
    from credit.sweep import programme

    steps = programme.steps([] if only == EVERY else items("only", only))
    if document != NONE:
        from credit.tracking.exported import Exports

        exports = Exports(folder)
        text = reproduction.document(programme.State(exports, steps), exports)
        Path(document).write_text(text)
        return 0
    from credit.tracking.reader import connect
    from credit.tracking.writer import open_store

    state = programme.State(connect(open_store().uri), steps)
    print(reproduction.plan_text(state))
    if dry:
        print(f"\n{reproduction.headline(state.scores)}")
        return 0
    failures = reproduction.reproduce(only, steps, device, __doc__ or "")
    for name, reason in failures.items():
        print(f"credit: {name} failed: {reason}", file=sys.stderr)
    return 1 if failures else 0
