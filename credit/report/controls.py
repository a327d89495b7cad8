"""Controls with a known answer: what the bench says of credits whose worth is not in doubt."""

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import pandas as pd

from credit.analysis.cells import COPY, spread, values
from credit.analysis.selection import ACCURACY, metric, pick
from credit.analysis.wording import short
from credit.errors import CreditError
from credit.report.grid import Grid, of_frame, of_rows
from credit.report.sources import groups
from credit.tracking.reader import Reader

REFERENCES = {
    "bp": "the exact gradient, end to end: the ceiling",
    "oracle": "the exact gradient through the same local recipe: what it loses against bp is lost "
    "by the recipe, not by the credit",
    "dfa": "fixed random feedback: what credit reaches that knows nothing of the network's weights",
}


class Calibration(NamedTuple):
    """A control credit in the layer tables: its column, and what it must be."""

    column: str
    credit: str
    quantity: str
    expected: str
    status: str = ""  # the column that says whether the value counts


CALIBRATIONS = (
    Calibration("alignment_g", "a = g", "Γ", "1"),
    Calibration("alignment_neg_g", "a = −g", "Γ", "−1"),
    Calibration("alignment_random", "random", "Γ", "0"),
    Calibration("rho_g", "a = g", "ρ", "1", "rho_status"),
    Calibration("rho_neg_g", "a = −g", "ρ", "−1", "rho_status"),
    Calibration("rho_random", "random", "ρ", "0", "rho_status"),
    Calibration("nudge_g", "a = g", "nudge", "below 0", "nudge_status"),
    Calibration("nudge_neg_g", "a = −g", "nudge", "above 0", "nudge_status"),
)


def sentences(cells: pd.DataFrame, by: tuple[str, ...]) -> list[str]:
    """What each reference rule stands for, and what it reaches."""
    found = []
    for rule, meaning in REFERENCES.items():
        own = pick(cells, rule=rule)
        if own.empty:
            continue
        parts = []
        for key, what in ((ACCURACY, "test accuracy"), ("alignment/deep", "Γ")):
            # of a network that stands still, accuracy is that of the one it starts from
            counted = own if key != ACCURACY else pick(own, head_trains=True)
            means = [fmean(metric(part, key)) for _, part in groups(counted, by)]
            known = [mean for mean in means if math.isfinite(mean)]
            if known:
                ends = dict.fromkeys((short(min(known)), short(max(known))))
                parts.append(f"{what} {' to '.join(ends)}")
        here = f" Here: {', '.join(parts)}." if parts else ""
        found.append(f"{rule}: {meaning}.{here}")
    return found


def copies(cells: pd.DataFrame, by: tuple[str, ...]) -> Grid | None:
    """Γ of each rule beside that of the output's gradient passed back unchanged, by seed.

    None where the control was not measured.
    """
    rows: list[dict[str, Any]] = []
    for place, own in groups(cells, by):
        row: dict[str, Any] = dict(place)
        for end, heading in (("", "Γ"), ("_inner", "Γ, l < L")):
            ours, copy = (values(own, f"{name}{end}") for name in ("alignment", "copy"))
            gaps = [a - b for a, b in zip(ours, copy, strict=True)]
            row[heading] = _mean(ours)
            row[f"{COPY[f'copy{end}']}"] = _mean(copy)
            row[f"above it{', l < L' if end else ''}"] = _mean(gaps, "+")
        rows.append(row | {"n": len(own)})
    known = [row for row in rows if row[COPY["copy"]]]
    if not known:
        return None
    caption = "Control: the output's gradient passed back unchanged (mean ± sample sd over seeds)"
    if len(known) < len(rows):
        caption += f"; {len(rows) - len(known)} of {len(rows)} settings have no valid value of it"
    return of_frame(pd.DataFrame(known), caption)


def calibration(reader: Reader, run_ids: Iterable[str]) -> Grid | None:
    """What was measured of credits that are the gradient, its negative, and noise.

    Lowest and highest value of any layer of the given runs. None where no run kept it.
    """
    tables = []
    for run_id in run_ids:
        try:
            tables.append(pd.read_csv(reader.artifact(run_id, "diagnostics/layers.csv")))
        except CreditError:
            continue  # a run that was imported without it
    rows = []
    for control in CALIBRATIONS:
        known = [_valid(table, control) for table in tables if control.column in table]
        found = pd.concat(known) if known else pd.Series(dtype=float)
        if len(found):
            ends = [f"{value:.3g}" for value in (found.min(), found.max())]
            rows.append(
                [control.credit, control.quantity, control.expected, *ends, str(len(found))]
            )
    if not rows:
        return None
    columns = ["credit", "quantity", "expected", "lowest", "highest", "layers measured"]
    runs = f"{len(tables)} run{'s' if len(tables) > 1 else ''}"
    caption = f"Calibration: credits with a known answer, over every layer of {runs}"
    return of_rows(caption, columns, rows)


def fmean(own: list[float]) -> float:
    """Mean of the valid values; nan where there is none."""
    return float(pd.Series(own, dtype=float).mean())


def _valid(table: pd.DataFrame, control: Calibration) -> pd.Series:
    column = pd.to_numeric(table[control.column], errors="coerce")
    if control.status in table:
        column = column.loc[table[control.status] == "ok"]
    return column.dropna()


def _mean(own: list[float], sign: str = "") -> str:
    row = spread("value", own)
    if pd.isna(row["value"]):
        return ""
    sd = "" if pd.isna(row["value_sd"]) else f" ± {short(row['value_sd'])}"
    return f"{short(row['value'], sign)}{sd}"
