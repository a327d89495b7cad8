"""Tables: numbers of cells in long form, as people read them, and the one writer of both."""

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from credit.lab.frame import Frame, one_configuration, pick
from credit.lab.quantity import Quantity
from credit.lab.reported import Reported


def long_table(
    frame: Frame, columns: Sequence[Quantity], reported: Sequence[Reported] = ()
) -> pd.DataFrame:
    """Return one row per cell, with the numbers of its finished runs.

    Returns:
        A column per factor; of each quantity its mean, `_sd` (ddof 1) and `_n` (valid seeds), or
        one column where it is a count, a median or a maximum; n, the finished runs; of what was
        reported `reported_NAME`, `reported_NAME_sd` and `difference_NAME`.

    Raises:
        CreditError: runs of a cell differ in more than their seed.
    """
    rows = []
    for labels in cells(frame):
        asked = pick(frame.runs, labels)
        one_configuration(asked)
        done = pick(frame.done, labels).sort_values("seed")
        row: dict[str, Any] = {**labels}
        for quantity in columns:
            row |= spread(quantity, quantity.values(done))
        row["n"] = len(done)
        for one in reported:
            mean, sd = one.find(labels, asked)
            name = one.quantity.name
            if math.isnan(mean) and f"reported_{name}" in row:
                continue  # another configuration's values of the same quantity
            row |= {f"reported_{name}": mean, f"reported_{name}_sd": sd}
            row[f"difference_{name}"] = row[name] - mean
        rows.append(row)
    return pd.DataFrame(rows)


def cells(frame: Frame) -> list[dict[str, Any]]:
    """Return the labels of every cell of the runs, by factor, in the factors' order."""
    names = [factor.name for factor in frame.factors]
    orders = {name: frame.labels(name) for name in names}
    rows = frame.runs[names].drop_duplicates().to_dict("records")
    return sorted(rows, key=lambda row: [orders[name].index(row[name]) for name in names])


def spread(quantity: Quantity, values: pd.Series) -> dict[str, Any]:
    """Return a quantity of runs that differ in their seed as columns of a table."""
    name, own = quantity.name, values.astype(float)
    if quantity.over == "mean":
        return {name: own.mean(), f"{name}_sd": own.std(ddof=1), f"{name}_n": int(own.count())}
    how = "mean" if quantity.over == "same" else quantity.over
    return {name: float(own.agg(how))}


def shown_table(
    table: pd.DataFrame,
    frame: Frame,
    columns: Sequence[Quantity],
    reported: Sequence[Reported] = (),
) -> pd.DataFrame:
    """Return a long table as strings: ".450 ± .020"; columns without a number are left out.

    A cell with fewer valid seeds than its row has runs says so: "(n=2)".
    """
    found = {
        factor.name: [
            "" if pd.isna(v) else f"{v:g}" if isinstance(v, float) else str(frame.short(v))
            for v in table[factor.name]
        ]
        for factor in frame.factors
    }
    rows = table.to_dict("records")
    sources = {one.quantity.name: one for one in reported}
    for quantity in columns:
        if table[quantity.name].isna().all():
            continue
        found[quantity.symbol] = [text(row, quantity) for row in rows]
        if quantity.name in sources and table[f"reported_{quantity.name}"].notna().any():
            found[f"{quantity.symbol} reported"] = [text(r, quantity, "reported_") for r in rows]
    return pd.DataFrame({**found, "n": table["n"].astype(str).tolist()})


def text(row: Mapping[str, Any], quantity: Quantity, prefix: str = "") -> str:
    """Return one number of a row, with sd and a smaller n where there are any."""
    name = prefix + quantity.name
    mean, sd = row[name], row.get(f"{name}_sd", math.nan)
    if pd.isna(mean):
        return ""
    few = row.get(f"{name}_n", row["n"])
    spread = "" if pd.isna(sd) else f" ± {quantity.text(sd)}"
    return quantity.text(mean) + spread + (f" (n={few:.0f})" if few < row["n"] else "")


def across(
    table: pd.DataFrame, quantity: Quantity, factor: str, rows: Sequence[str], sign: str
) -> pd.DataFrame:
    """Return a long table with a column per label of one factor.

    A row of ours is followed by what was reported and the difference in points, if anything was.

    Args:
        rows: the factors that name a row.
        sign: before a label in a heading, as in "k=4".
    """
    name = quantity.name
    labels = list(dict.fromkeys(table[factor]))
    same_n = table.loc[table["n"] > 0, "n"].nunique() <= 1
    found = []
    for key, own in table.groupby(list(rows), sort=False):
        cells = {row[factor]: row for row in own.to_dict("records")}
        head = dict(zip(rows, key, strict=True))
        ours = {
            f"{sign}{label}": text(cell, quantity)
            + ("" if same_n or not cell["n"] else f" (n={cell['n']})")
            for label, cell in cells.items()
        }
        found.append({**head, "values": "ours", **ours})
        if f"reported_{name}" in own and own[f"reported_{name}"].notna().any():
            theirs = {f"{sign}{x}": text(c, quantity, "reported_") for x, c in cells.items()}
            apart = {x: c[f"difference_{name}"] for x, c in cells.items()}
            points = {
                f"{sign}{x}": "" if pd.isna(v) else f"{100 * v:+.1f}" for x, v in apart.items()
            }
            found.append({**head, "values": "reported", **theirs})
            found.append({**head, "values": "difference, points", **points})
    wide = pd.DataFrame(found, columns=[*rows, "values", *(f"{sign}{x}" for x in labels)]).fillna(
        ""
    )
    return wide if (wide["values"] != "ours").any() else wide.drop(columns="values")


def seeds_text(table: pd.DataFrame) -> str:
    """Return of what a cell is a mean: "mean ± sample sd over n = 3 seeds"."""
    counts = table.loc[table["n"] > 0, "n"]
    if counts.empty:
        return "no run has finished yet"
    low, high = int(counts.min()), int(counts.max())
    if high == 1:
        return "n = 1 seed"
    return f"mean ± sample sd over n = {low if low == high else f'{low} to {high}'} seeds"


def markdown(table: pd.DataFrame) -> str:
    """Return a table of strings in Markdown."""
    lines = [list(map(str, table.columns)), ["---"] * len(table.columns)]
    lines += [[str(v).replace("|", "\\|") for v in row] for row in table.itertuples(index=False)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def terminal(table: pd.DataFrame) -> str:
    """Return a table of strings for a terminal; a label that repeats in its column is left out."""
    lines = [list(map(str, table.columns)), *table.astype(str).to_numpy().tolist()]
    for this, above in zip(lines[:1:-1], lines[-2:0:-1], strict=True):
        if this[0] == above[0]:
            this[0] = ""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    left = [not any(map(_is_number, column[1:])) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if start else cell.rjust(width)
            for cell, width, start in zip(line, widths, left, strict=True)
        ).rstrip()
        for line in lines
    )


def html_table(table: pd.DataFrame) -> str:
    """Return a table of strings in HTML, numbers aligned to the right."""
    head = "".join(f"<th>{html.escape(str(name))}</th>" for name in table.columns)
    rows = []
    for row in table.itertuples(index=False):
        own = "".join(
            f"<td{' class=n' if _is_number(str(v)) else ''}>{html.escape(str(v))}</td>" for v in row
        )
        rows.append(f"<tr>{own}</tr>")
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _is_number(cell: str) -> bool:
    return cell[:1] in "0123456789.+-−" and any(c.isdigit() for c in cell)
