"""List what there is: rules, networks, presets, experiments, or the runs of the tracking store."""

from importlib.util import find_spec
from pathlib import Path

import pandas as pd

from credit.commands.base import argument, command, first_line, flag, option
from credit.errors import CreditError
from credit.experiments import KINDS, find
from credit.spec import check_names

WHAT = ("rules", "networks", "presets", "experiments", "runs")
OPTIONS = (
    argument("what", metavar="|".join(WHAT)),
    option("kind", "", "presets, runs: of this kind of experiment", shown="all"),
    flag("json", "print JSON"),
)


MARKS = {"rules": "\nRULE = ", "networks": "\ndef network(", "experiments": "\nEXPERIMENT = "}
"""What a file has that is one of them, and no file that they share; `resmlp` is by hand."""


def first_lines(what: str) -> pd.DataFrame:
    """Return rules, networks or experiments with their first lines; nothing is imported."""
    found = find_spec(f"credit.{what}")
    assert found is not None and found.origin
    rows = []
    for file in sorted(Path(found.origin).parent.glob("*.py")):
        if MARKS[what] in file.read_text() or file.stem == "resmlp":
            rows.append((file.stem, first_line(file)))
    return pd.DataFrame(rows, columns=["name", "what it is"])


def presets(kind: str) -> pd.DataFrame:
    """Return the presets of the experiments, or of one kind, with what they set."""
    check_names([kind] if kind else [], KINDS, "kind of experiment")
    rows = []
    for one in map(find, [kind] if kind else KINDS):
        for name, options in one.presets.items():
            shown = " ".join(f"{key}={value}" for key, value in options.items())
            rows.append((one.kind, name, shown))
    return pd.DataFrame(rows, columns=["experiment", "preset", "sets"])


def runs(kind: str) -> pd.DataFrame:
    """Return the parent runs of the store, newest first."""
    from credit.report.comparing import KIND  # here: it loads MLflow
    from credit.tracking.reader import connect

    check_names([kind] if kind else [], [*KINDS, KIND], "kind")
    found = connect().parents(kind or None)
    columns = ["run_id", "kind", "name", "status", "started"]
    return found[columns].assign(started=found["started"].astype(str).str[:16])


@command("ls", *OPTIONS, doc=__doc__)
def COMMAND(what: str, kind: str, json: bool) -> None:
    check_names([what], WHAT, "list")
    if kind and what not in ("presets", "runs"):
        raise CreditError(f"kind={kind} is of presets and runs: leave it out of {what}")
    of = {"presets": presets, "runs": runs}
    found = of[what](kind) if what in of else first_lines(what)
    from credit.lab.table import terminal

    print(
        found.to_json(orient="records", indent=2, double_precision=15) if json else terminal(found)
    )
