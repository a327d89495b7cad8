"""A comparison in the tracking store: its sides by name, its artifacts, its page in the UI."""

import re
from collections.abc import Callable
from dataclasses import replace

import pandas as pd

from credit.errors import CreditError
from credit.figures.comparison import comparison as figure
from credit.lab.table import markdown, terminal
from credit.report import place, read
from credit.report.comparison import Comparison, compare, labels, sides
from credit.tracking import notes, views
from credit.tracking.reader import Reader, connect
from credit.tracking.writer import Store, finish, log_figure, log_table, log_text, open_parent

KIND = "compare"
SHORTEST = 8
"""Characters by which a run id may be known."""


def between(reader: Reader, first: str, second: str, parent: Callable[[], str]) -> Comparison:
    """Compare two parent runs by their ids, or two labels of a factor of one parent run.

    Args:
        parent: returns the id of that one.

    Raises:
        CreditError: no such runs or labels, or they have nothing in common.
    """
    ids = [_parent(reader, name) for name in (first, second)]
    if ids[0] and ids[1]:
        one, other = (read(reader, run_id) for run_id in ids)
        names = [f"{reader.run(run_id).info.run_name} ({run_id[:4]})" for run_id in ids]
        pair, columns = sides(one, other, (names[0], names[1])), one.experiment.columns
    else:
        ids = [parent()]
        found = read(reader, ids[0])
        pair, columns = labels(found, first, second), found.experiment.columns
    found = compare(*pair, [own for own in columns if own.over == "mean"])
    return replace(found, parents=tuple(ids))


def _parent(reader: Reader, name: str) -> str:
    """Return the parent run whose id begins so; empty where there is none."""
    if not re.fullmatch(rf"[0-9a-f]{{{SHORTEST},32}}", name):
        return ""
    found = [run_id for run_id in reader.parents()["run_id"] if run_id.startswith(name)]
    if len(found) != 1:
        raise CreditError(f"{name} is the id of {len(found)} parent runs: see `credit ls runs`")
    return found[0]


def text(found: Comparison) -> str:
    """Return a comparison for the terminal: the first quantity, verdicts and settings."""
    parts = ["", found.answer, "", terminal(found.first)]
    for own, what in ((found.verdicts, "verdicts"), (found.settings, "settings")):
        if len(own):
            parts += ["", f"{what} that differ", terminal(_named(own, found))]
    return "\n".join(parts)


def _named(own: pd.DataFrame, found: Comparison) -> pd.DataFrame:
    return own.rename(columns={"a": found.a, "b": found.b})


def publish(store: Store, found: Comparison) -> str:
    """Log a comparison on a run of its own; return its text with where it is.

    Artifacts: table.csv, table.md, verdicts, settings, figure.
    """
    name = f"compare {found.a} with {found.b}"
    params = {"a": found.a, "b": found.b, "parents": ",".join(found.parents)}
    own = f"{name} of {params['parents']}"  # dfa and fa of another sweep are another comparison
    parent = open_parent(store, name, KIND, params, own, found.answer)
    status = "FAILED"
    try:
        log_text(store, parent, found.table.to_csv(index=False), "table.csv")
        log_text(store, parent, markdown(found.shown), "table.md")
        for table, what in ((found.verdicts, "verdicts"), (found.settings, "settings")):
            log_table(store, parent, _named(table, found), what)
        log_figure(store, parent, figure(found), "figure")
        image = f"![figure]({views.file_link(parent, 'figure.svg')})"
        note = "\n\n".join([f"**{found.answer}**", image, markdown(found.first)])
        notes.set_page(store, parent, note, found.answer, {})
        status = "FINISHED"
    finally:
        finish(store, parent, status)
    reader = connect(store.uri)
    where = place(store, reader, parent, "figure.png")
    return "\n".join([text(found), "", f"figure  {where}", f"run     {parent}"])
