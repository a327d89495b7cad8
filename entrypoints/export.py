"""Export a parent run and its child runs as plain files: JSON, Parquet, and the small artifacts."""

from credit import cli, publish
from credit.analysis.selection import choose_parent
from credit.spec import check_names
from credit.tracking.portable import export
from credit.tracking.reader import connect

KINDS = (*publish.KINDS, "frozen_init")
DEFAULTS = {"parent": "latest", "kind": "ladder", "folder": "results/ladder"}
HELPS = {
    "parent": "id of the parent run; latest is the newest one of that kind",
    "kind": f"kind of parent run that latest means: {', '.join(KINDS)}",
    "folder": "where to write; an export that is already there is replaced",
}


def main() -> None:
    """Find the parent run and write it out."""
    chosen = cli.options(__doc__, DEFAULTS, HELPS)
    check_names([chosen["kind"]], KINDS, "kind")
    reader = connect()
    parent = chosen["parent"]
    if parent == "latest":
        parent = choose_parent(reader, chosen["kind"])
    children = reader.children(parent)
    folder = export(reader, [parent, *children], chosen["folder"])
    print(f"{len(children)} runs of {parent} are in {folder}")


if __name__ == "__main__":
    cli.run(main)
