"""Run the published programme, and set every reported number beside ours.

Experiments run at published settings, the shortest first; what the store holds as finished is not
trained again, and an experiment that fails does not stop the others.
"""

import sys
from pathlib import Path

from credit import cli
from credit.errors import CreditError
from credit.lab.options import PRESET, items

EVERY, NONE = "all", "none"
DEFAULTS = {
    "only": EVERY,
    "dry_run": "false",
    "device": PRESET,
    "document": NONE,
    "folder": "results",
}
HELPS = {
    "only": "kinds of experiments, comma-separated; all is every one with reported numbers",
    "dry_run": "true prints runs, hours and totals, and trains nothing",
    "device": "where experiments train: auto, cpu, cuda or cuda:N",
    "document": "write the scoreboard of the exports in `folder` to this file, and do nothing else",
    "folder": "a folder of exports",
}


def main() -> int:
    """Plan, run and publish; return 1 if an experiment failed.

    Raises:
        CreditError: an option is not as it must be, or the store does not answer.
    """
    chosen = cli.options(__doc__, DEFAULTS, HELPS)
    if chosen["dry_run"] not in ("true", "false"):
        raise CreditError(f"dry_run={chosen['dry_run']} is neither true nor false: pass one")
    from credit.report import reproduction  # here: --help needs no torch
    from credit.sweep import programme

    only = [] if chosen["only"] == EVERY else items("only", chosen["only"])
    steps = programme.steps(only)
    if chosen["document"] != NONE:
        from credit.tracking.exported import Exports

        exports = Exports(chosen["folder"])
        text = reproduction.document(programme.State(exports, steps), exports)
        Path(chosen["document"]).write_text(text)
        return 0
    from credit.tracking.reader import connect
    from credit.tracking.writer import open_store

    state = programme.State(connect(open_store().uri), steps)
    print(reproduction.plan_text(state))
    if chosen["dry_run"] == "true":
        print(f"\n{reproduction.headline(state.scores)}")
        return 0
    failures = reproduction.reproduce(
        chosen["only"], steps, chosen["device"], __doc__ or "", DEFAULTS
    )
    for name, reason in failures.items():
        print(f"credit: {name} failed: {reason}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    cli.run(main)
