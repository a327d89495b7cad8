"""Tables: numbers of cells in long form, as people read them, and the one writer of both."""

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from credit.lab.factor import text_of
from credit.lab.frame import Frame, one_configuration, pick
from credit.lab.quantity import Quantity
from credit.lab.source import Reported


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
    for labels in frame.cells():
        asked = pick(frame.runs, labels)
        one_configuration(asked)
        done = pick(frame.done, labels).sort_values("seed")
        row: dict[str, Any] = {**labels, **spreads(columns, done), "n": len(done)}
        for one in reported:
            mean, sd = one.find(labels, asked)
            name = one.quantity.name
            if math.isnan(mean) and f"reported_{name}" in row:
                continue  # another configuration's values of the same quantity
            row |= {f"reported_{name}": mean, f"reported_{name}_sd": sd}
            row[f"difference_{name}"] = row[name] - mean
        rows.append(row)
    return pd.DataFrame(rows)


def spread(quantity: Quantity, values: pd.Series) -> dict[str, Any]:
    """Return a quantity of runs that differ in their seed as columns of a table."""
    name, own = quantity.name, values.astype(float)
    if quantity.over == "mean":
        return {name: own.mean(), f"{name}_sd": own.std(ddof=1), f"{name}_n": int(own.count())}
    return {name: float(own.agg("mean" if quantity.over == "same" else quantity.over))}


def spreads(quantities: Iterable[Quantity], runs: pd.DataFrame) -> dict[str, Any]:
    """Return some quantities of runs that differ in their seed as columns of a table."""
    return {k: v for one in quantities for k, v in spread(one, one.values(runs)).items()}


def shown_table(
    table: pd.DataFrame,
    frame: Frame,
    columns: Sequence[Quantity],
    reported: Sequence[Reported] = (),
) -> pd.DataFrame:
    """Return a long table as strings: ".450 ± .020"; columns without a number are left out.

    A cell with fewer valid seeds than its row has runs says so: "(n=2)".
    """

    def label(value: Any) -> str:
        return "" if pd.isna(value) else text_of(frame.short(value))

    found = {factor.name: [label(v) for v in table[factor.name]] for factor in frame.factors}
    rows, known = table.to_dict("records"), {one.quantity.name for one in reported}
    for quantity in columns:
        name, symbol = quantity.name, quantity.symbol
        if table[name].notna().any():
            found[symbol] = [text(row, quantity) for row in rows]
            if name in known and table[f"reported_{name}"].notna().any():
                found[f"{symbol} reported"] = [text(row, quantity, "reported_") for row in rows]
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
    same_n = table.loc[table["n"] > 0, "n"].nunique() <= 1

    def ours(cell: Mapping[str, Any]) -> str:
        return text(cell, quantity) + (f" (n={cell['n']})" if cell["n"] and not same_n else "")

    def apart(cell: Mapping[str, Any]) -> str:
        points = 100 * cell[f"difference_{name}"]
        return "" if pd.isna(points) else f"{points:+.1f}"

    lines = {"ours": ours}
    if f"reported_{name}" in table and table[f"reported_{name}"].notna().any():
        lines["reported"] = lambda cell: text(cell, quantity, "reported_")
        lines["difference, points"] = apart
    found = []
    for key, own in table.groupby(list(rows), sort=False):
        head, cells = dict(zip(rows, key, strict=True)), own.to_dict("records")
        known = len(lines) > 1 and own[f"reported_{name}"].notna().any()
        for line in lines if known else ["ours"]:
            values = {f"{sign}{cell[factor]}": lines[line](cell) for cell in cells}
            found.append({**head, "values": line, **values})
    heads = [f"{sign}{label}" for label in table[factor].unique()]
    wide = pd.DataFrame(found, columns=[*rows, "values", *heads]).fillna("")
    return wide if len(lines) > 1 else wide.drop(columns="values")


def counted(table: pd.DataFrame) -> str:
    """Return how many runs the cells of a table have: "3", or "1 to 3"; "0" where none has one."""
    counts = table.loc[table["n"] > 0, "n"] if len(table) else []
    if not len(counts):
        return "0"
    low, high = int(min(counts)), int(max(counts))
    return f"{low}" if low == high else f"{low} to {high}"


def markdown(table: pd.DataFrame) -> str:
    """Return a table of strings in Markdown."""
    lines = [list(map(str, table.columns)), ["---"] * len(table.columns)]
    lines += [[str(v).replace("|", "\\|") for v in row] for row in table.itertuples(index=False)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def terminal(table: pd.DataFrame) -> str:
    """Return a table of strings for a terminal; a label that repeats in its column is left out."""
    lines = [list(map(str, table.columns)), *table.map(str).to_numpy().tolist()]
    for this, above in zip(lines[:1:-1], lines[-2:0:-1], strict=True):
        if this[0] == above[0]:
            this[0] = ""
    columns = []
    for column in zip(*lines, strict=True):
        width, right = max(map(len, column)), any(map(_is_number, column[1:]))
        columns.append([cell.rjust(width) if right else cell.ljust(width) for cell in column])
    return "\n".join("  ".join(line).rstrip() for line in zip(*columns, strict=True))


def html_table(table: pd.DataFrame) -> str:
    """Return a table of strings in HTML, numbers aligned to the right."""
    head = "".join(f"<th>{html.escape(str(name))}</th>" for name in table.columns)
    rows = []
    for row in table.map(str).itertuples(index=False):
        own = (f"<td{' class=n' if _is_number(v) else ''}>{html.escape(v)}</td>" for v in row)
        rows.append(f"<tr>{''.join(own)}</tr>")
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _is_number(cell: str) -> bool:
    return cell[:1] in "0123456789.+-−" and any(c.isdigit() for c in cell)
