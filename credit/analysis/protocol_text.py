"""An audit on one screen: each check with its number, what is asked for, verdict and reason."""

import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from credit.analysis.protocol import label
from credit.analysis.wording import short
from credit.audit import shown_share
from credit.bottom_line import Outcome, bottom_line

WIDTH = 110
"""Columns of the terminal that the text is made for."""


class Form(NamedTuple):
    """How a check is put."""

    name: str
    relation: str
    """Before the threshold: what is asked of the number."""
    number: Callable[[float], str]


def _points(gain: float) -> str:
    return f"{100 * gain:+.1f} pts"


def _signed(value: float) -> str:
    return short(value, "+")


def _three(value: float) -> str:
    return f"{value:.3g}"


FORMS = {
    "frozen init": Form("frozen init", "≥", short),
    "D1": Form("D1 scale", "≤", _three),
    "D2": Form("D2 reference", ">", _three),
    "direction": Form("direction", "≥", short),
    "beyond a copy": Form("beyond a copy", "≥", _signed),
    "D3": Form("D3 depth", "≥", _points),
    "shape": Form("ladder's shape", "≥", _points),
    "oracle_share": Form("oracle's share", ">", shown_share),
    "k=L > shallow": Form("deep > shallow", "≥", _points),
    "random labels": Form("random labels", "±", _points),
    "penalty": Form("with penalty", "≥", _points),
    "penalty D1": Form("  its scale", "≤", _three),
    "penalty direction": Form("  its direction", "≥", short),
    "D3 together": Form("any embedding", "≥", _points),
    "calibration": Form("calibration", "<", short),
}
"""By check; in the order in which they are shown."""

OF_THE_BENCH = ("frozen init", "calibration")
"""Checks that a rule has no part in."""

HEAD = ("check", "verdict", "number", "asked for", "reason")


def table(verdicts: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Every check as strings, under HEAD."""
    return pd.DataFrame([_row(verdict) for verdict in verdicts], columns=list(HEAD))


def report(
    verdicts: Sequence[Mapping[str, Any]],
    ladder: str = "",
    ids: Sequence[Mapping[str, Any]] = (),
    notes: Sequence[str] = (),
) -> str:
    """Return the screen, below the summary.

    Args:
        ladder: the ladder's table, if there is one.
        ids: of `protocol.run_ids`.
        notes: further lines.
    """
    parts = _lines(table(verdicts))
    if ladder:
        parts += ["", ladder]
    if ids:
        parts += ["", f"runs of seed {ids[0]['seed']}"]
        width = max(len(label(row["rule"])) for row in ids)
        for row in ids:
            own = "  ".join(f"k={k} {run_id}" for k, run_id in row["ids"].items())
            parts.append(f"  {label(row['rule']):<{width}}  {own}")
    for note in notes:
        parts += ["", *textwrap.wrap(note, WIDTH, break_on_hyphens=False, break_long_words=False)]
    return "\n".join(parts)


def summary(rule: str, verdicts: Sequence[Mapping[str, Any]]) -> str:
    """Return the bottom line of the audit, then D1 to D3 and the direction in a word each.

    Counted are the rule's own checks, not those of the bench that do not depend on it.
    """
    found = {verdict["check"]: verdict for verdict in verdicts}
    outcomes = {check: Outcome(v["status"], v["label"]) for check, v in found.items()}
    words = [
        f"{check} {found[check]['label'] or found[check]['status']}"
        for check in ("D1", "D2", "direction", "D3")
        if check in found
    ]
    own = [verdict["status"] for check, verdict in found.items() if check not in OF_THE_BENCH]
    return (
        f"{label(rule)}: {bottom_line(outcomes).sentence}. {', '.join(words)}; "
        f"{own.count('pass')} of its {len(own)} checks pass"
    )


def _row(verdict: Mapping[str, Any]) -> tuple[str, ...]:
    form = FORMS[verdict["check"]]
    value, asked = verdict["value"], verdict["threshold"]
    return (
        form.name,
        verdict["status"],
        "" if value is None else form.number(value),
        "" if asked is None else f"{form.relation} {form.number(asked)}".replace("± +", "± "),
        verdict["reason"],
    )


def _lines(rows: pd.DataFrame) -> list[str]:
    """The table with its reasons wrapped."""
    left = rows[list(HEAD[:-1])]
    widths = [max(map(len, [name, *left[name]])) for name in left]
    room = WIDTH - sum(widths) - 2 * len(widths)

    def line(cells: Sequence[str], reason: str) -> list[str]:
        padded = [
            cell.rjust(width) if place in (2, 3) else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        first, *rest = textwrap.wrap(reason, room) or [""]
        indent = " " * (WIDTH - room)
        return ["  ".join([*padded, first]).rstrip(), *(indent + more for more in rest)]

    lines = line(list(left), HEAD[-1])
    for cells, reason in zip(left.itertuples(index=False), rows[HEAD[-1]], strict=True):
        lines += line(list(cells), reason)
    return lines
