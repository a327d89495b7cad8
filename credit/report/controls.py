"""Controls with a known answer: what the bench says of credits whose worth is not in doubt."""

import math
from typing import Any, NamedTuple

import pandas as pd

from credit import audit
from credit.analysis.cells import COPY, spread, values
from credit.analysis.controls import FULL
from credit.analysis.protocol_checks import EXACT, chance
from credit.analysis.selection import ACCURACY, metric, pick
from credit.analysis.wording import short, status
from credit.errors import CreditError
from credit.report.grid import Grid, of_frame, of_rows
from credit.report.sources import groups
from credit.spec import RunSpec
from credit.tracking.reader import Reader

REFERENCES = {
    "bp": "the exact gradient, end to end: the ceiling",
    "oracle": "the exact gradient through the same local recipe: what it loses against bp is lost "
    "by the recipe, not by the credit",
    "dfa": "fixed random feedback: what credit reaches that knows nothing of the network's weights",
}

OK = "ok"
RESOLVED = 0.9
"""ρ of the exact gradient from which a layer's ρ counts: `credit.measures`', which loads torch."""


class Calibration(NamedTuple):
    """A control credit in the layer tables: its column, and what it must be in every layer.

    Without a tolerance the sign of `target` is asked for.
    """

    column: str
    credit: str
    quantity: str
    target: float
    tolerance: float | None
    status: str = "status"  # the column that says, beside `status`, whether the value counts
    selects: bool = False  # that column is "ok" where the value is as asked: it cannot fail


def calibrations(scatter: float) -> tuple[Calibration, ...]:
    """What is asked of each control credit.

    Of a random credit it is below what the protocol calls a direction, or what chance does where
    that is more. ρ counts only in layers where the exact gradient reaches RESOLVED, so that its own
    ρ is no test there; that of its negative is the same number with the other sign.

    Args:
        scatter: how far from 0 chance may take the Γ of a random credit, of `chance`.
    """
    limit = max(audit.POOR, scatter)
    off = round(1 - RESOLVED, 12)
    return (
        Calibration("alignment_g", "a = g", "Γ", 1, EXACT),
        Calibration("alignment_neg_g", "a = −g", "Γ", -1, EXACT),
        Calibration("alignment_random", "random", "Γ", 0, limit),
        Calibration("rho_g", "a = g", "ρ", 1, off, "rho_status", selects=True),
        Calibration("rho_random", "random", "ρ", 0, limit, "rho_status"),
        Calibration("nudge_g", "a = g", "nudge", -1, None, "nudge_status"),
        Calibration("nudge_neg_g", "a = −g", "nudge", 1, None, "nudge_status"),
    )


def sentences(cells: pd.DataFrame, by: tuple[str, ...]) -> list[str]:
    """What each reference rule stands for, and what it reaches with all blocks trained.

    Runs of a control, such as permuted labels, are not what the rule reaches.
    """
    found, base = [], _base(cells)
    for rule, meaning in REFERENCES.items():
        if pick(cells, rule=rule).empty:
            continue
        own = pick(base, rule=rule)
        parts = []
        for key, what in ((ACCURACY, "test accuracy"), ("alignment/deep", "Γ")):
            # of a network that stands still, accuracy is that of the one it starts from
            counted = own if key != ACCURACY else pick(own, head_trains=True)
            means = [fmean(metric(part, key)) for _, part in groups(counted, by)]
            known = [mean for mean in means if math.isfinite(mean)]
            if known:
                ends = dict.fromkeys((short(min(known)), short(max(known))))
                parts.append(f"{what} {' to '.join(ends)}")
        here = f" Here, with all blocks trained: {', '.join(parts)}." if parts else ""
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


def calibration(reader: Reader, runs: pd.DataFrame) -> Grid | None:
    """What was measured of credits that are the gradient, its negative, and noise.

    Lowest and highest value of any valid layer of the given runs, what is asked of both, and
    whether they pass; without a valid layer they are undefined. None where no run kept it.
    """
    tables = []
    for run_id in runs["run_id"]:
        try:
            tables.append(pd.read_csv(reader.artifact(run_id, "diagnostics/layers.csv")))
        except CreditError:
            continue  # a run that was imported without it
    rows = []
    for control in calibrations(chance(runs)) if tables else ():
        measured = [table for table in tables if control.column in table]
        if not measured:
            continue
        found = pd.concat([_valid(table, control) for table in measured])
        ends = [f"{value:.3g}" for value in (found.min(), found.max())] if len(found) else ["", ""]
        layers = f"{len(found)} of {sum(map(len, measured))}"
        rows.append(
            [
                control.credit,
                control.quantity,
                _asked(control),
                *ends,
                layers,
                _ruling(control, found),
            ]
        )
    if not rows:
        return None
    columns = ["credit", "quantity", "asked for", "lowest", "highest", "valid layers", "outcome"]
    of = f"{len(tables)} run{'s' if len(tables) > 1 else ''}"
    caption = f"Calibration: credits with a known answer, over every valid layer of {of}"
    return of_rows(caption, columns, rows)


def fmean(own: list[float]) -> float:
    """Mean of the valid values; nan where there is none."""
    return float(pd.Series(own, dtype=float).mean())


def _base(cells: pd.DataFrame) -> pd.DataFrame:
    """The runs that train all blocks and the rest of the network, under no control."""
    kept = (cells["k"] == cells["depth"]) & (cells["penalty"] == 0) & ~cells["random_labels"]
    kept &= cells["embed_trains"] & cells["head_trains"] & (cells["start"] == RunSpec.start)
    if "control" in cells:  # a shallow network trains all of its blocks, too
        kept &= cells["control"] == FULL
    return cells.loc[kept]


def _valid(table: pd.DataFrame, control: Calibration) -> pd.Series:
    """The values of layers in which there is a gradient to compare with, and the measure holds."""
    column = pd.to_numeric(table[control.column], errors="coerce")
    for name in {"status", control.status} & set(table.columns):
        column = column.loc[table[name].reindex(column.index) == OK]
    return column.dropna()


def _asked(control: Calibration) -> str:
    if control.tolerance is None:
        return "below 0" if control.target < 0 else "above 0"
    return f"{control.target:g} ± {control.tolerance:.3g}".replace("-", "−")


def _ruling(control: Calibration, found: pd.Series) -> str:
    if found.empty:
        return "undefined"
    if control.selects:
        return "pass by selection"
    if control.tolerance is None:
        return status(bool((found * control.target > 0).all()))
    return status(bool(((found - control.target).abs() <= control.tolerance).all()))


def _mean(own: list[float], sign: str = "") -> str:
    row = spread("value", own)
    if pd.isna(row["value"]):
        return ""
    sd = "" if pd.isna(row["value_sd"]) else f" ± {short(row['value_sd'])}"
    return f"{short(row['value'], sign)}{sd}"
