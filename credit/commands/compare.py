"""Set two sweeps, or two rules of one, side by side: paired differences, verdicts, settings."""

from credit.commands.base import PARENT, argument, command, flag, parent_of

OPTIONS = (
    argument("a", metavar="A"),
    argument("b", metavar="B"),
    *PARENT,
    flag("json", "print the table as JSON"),
)
ABOUT = f"""{__doc__}

A and B are ids of parent runs of one kind, or two labels (rules, arms) of the parent run that
--parent and --kind name:

    credit compare fa dfa
    credit compare 3f2a91c0 b71e55d2
"""


@command("compare", *OPTIONS, doc=ABOUT)
def COMMAND(a: str, b: str, parent: str, kind: str, json: bool) -> None:
    from credit.report import comparing  # here: --help needs no MLflow
    from credit.tracking.reader import connect
    from credit.tracking.store import open_store

    store = open_store()
    reader = connect(store.uri)
    found = comparing.between(reader, a, b, lambda: parent_of(reader, parent, kind))
    said = comparing.publish(store, found)
    print(found.table.to_json(orient="records", indent=2, double_precision=15) if json else said)
