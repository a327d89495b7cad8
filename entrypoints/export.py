"""Export a parent run and its child runs as plain files: JSON, Parquet, and the small artifacts."""

from credit import cli

DEFAULTS = {"parent": "latest", "kind": "ladder", "folder": "results/ladder"}
HELPS = {
    **cli.PARENT_HELPS,
    "folder": "where to write; an export that is already there is replaced",
}


def main() -> None:
    """Find the parent run and write it out."""
    chosen = cli.options(__doc__, DEFAULTS, HELPS)
    from credit.tracking.portable import export  # here: --help needs no MLflow
    from credit.tracking.reader import connect

    reader = connect()
    parent = cli.parent_of(reader, chosen)
    children = reader.children(parent)
    folder = export(reader, [parent, *children], chosen["folder"])
    print(f"{len(children)} runs of {parent} are in {folder}")


if __name__ == "__main__":
    cli.run(main)
