"""Export a parent run and its child runs as plain files: JSON, Parquet, and the small artifacts."""

from credit.commands.base import PARENT, command, option, parent_of

FOLDER = option(
    "folder", "results/ladder", "where to write; an export that is already there is replaced"
)


@command("export", *PARENT, FOLDER, doc=__doc__)
def COMMAND(parent: str, kind: str, folder: str) -> None:
    from credit.tracking.portable import export  # here: --help needs no MLflow
    from credit.tracking.reader import connect

    reader = connect()
    parent_id = parent_of(reader, parent, kind)
    children = reader.children(parent_id)
    where = export(reader, [parent_id, *children], folder)
    print(f"{len(children)} runs of {parent_id} are in {where}")
