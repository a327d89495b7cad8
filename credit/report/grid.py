"""Tables of a report: cells as text or as links to runs, from frames of any kind."""

import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import pandas as pd

LONG = 25
"""Rows from which a table beside the main one is folded."""
MOST = 300
"""Rows from which a table is left to its CSV: the report stays small."""
MOST_COLUMNS = 11
_SENTENCE = 24  # characters from which a cell is no word
_NUMBER = re.compile(r"[+\-−]?\.?\d[\d.,+\-−±%×*()n= e]*(\s?[kMGTPE]?(FLOP)?)?")


class Link(NamedTuple):
    """A text that leads somewhere; without `href` it is the text alone, set as code."""

    text: str
    href: str = ""


Cell = str | Sequence[Link]


class Grid(NamedTuple):
    """A table as it is laid out. `numeric`: which columns are right-aligned."""

    caption: str
    columns: list[str]
    numeric: list[bool]
    rows: list[list[Cell]]
    folded: bool = False
    data: bool = False  # a file's content, which is not printed


def of_rows(
    caption: str, columns: Sequence[str], rows: Iterable[Sequence[Cell]], folded: bool = False
) -> Grid:
    """A table of texts and links; columns that are empty throughout are left out."""
    body = [list(row) for row in rows]
    kept = [i for i in range(len(columns)) if any(row[i] for row in body)]
    cells = [[row[i] for i in kept] for row in body]
    numeric = [_is_numeric([row[i] for row in cells]) for i in range(len(kept))]
    return Grid(caption, [columns[i] for i in kept], numeric, cells, folded)


def of_frame(frame: pd.DataFrame, caption: str, fold: bool = True) -> Grid:
    """A frame as a table; numbers to four digits, missing values empty.

    A sentence that stands in every row goes into the caption.

    Args:
        fold: whether it is folded from LONG rows on.
    """
    rows = [[text(value) for value in row] for row in frame.itertuples(index=False, name=None)]
    columns = list(map(str, frame.columns))
    said = [
        place
        for place in range(len(columns))
        if len(rows) > 1 and len(rows[0][place]) > _SENTENCE and len({r[place] for r in rows}) == 1
    ]
    kept = [place for place in range(len(columns)) if place not in said]
    more = "".join(
        f"; {columns[place]} of every row: {rows[0][place]}"
        for place in said
        if rows[0][place] not in caption
    )
    cells = [[row[place] for place in kept] for row in rows]
    names = [columns[place] for place in kept]
    return of_rows(f"{caption}{more}", names, cells, fold and len(rows) > LONG)


def parts(grid: Grid) -> list[Grid]:
    """A table of many columns as several below each other, which fit a page.

    Each begins with the columns that tell its rows apart.
    """
    if len(grid.columns) <= MOST_COLUMNS:
        return [grid]
    keys = next(
        (n for n in range(1, 5) if len({str(r[:n]) for r in grid.rows}) == len(grid.rows)), 1
    )
    rest = range(keys, len(grid.columns))
    count = -(-len(rest) // (MOST_COLUMNS - keys))
    size = -(-len(rest) // count)  # of even width
    found = []
    for number, start in enumerate(rest[::size], start=1):
        places = [*range(keys), *rest[start - keys : start - keys + size]]
        found.append(
            grid._replace(
                caption=grid.caption if number == 1 else f"continued, part {number} of {count}",
                columns=[grid.columns[place] for place in places],
                numeric=[grid.numeric[place] for place in places],
                rows=[[row[place] for place in places] for row in grid.rows],
            )
        )
    return found


def text(value: Any) -> str:
    """One value as people read it."""
    if isinstance(value, list | tuple | dict):
        return str(value)
    if value is None or pd.isna(value):
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _is_numeric(cells: Sequence[Cell]) -> bool:
    texts = [cell for cell in cells if cell]
    return all(isinstance(cell, str) and _NUMBER.fullmatch(cell) for cell in texts)
