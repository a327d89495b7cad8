"""Which runs make which number, and every run by itself."""

from typing import Any

import pandas as pd

from credit.analysis.selection import ACCURACY, ORDER
from credit.report.grid import Cell, Grid, of_rows, text
from credit.report.origin import Origin, lasted

MOST = 1000
"""Runs that are listed; `runs.json` names all."""
_METRICS = {ACCURACY: "test accuracy", "alignment/deep": "Γ", "rho/deep": "ρ"}


def groups(cells: pd.DataFrame, by: tuple[str, ...]) -> list[tuple[dict[str, Any], pd.DataFrame]]:
    """The runs of each number, in order of seed: what they agree in, and they."""
    parts = [
        (dict(zip(by, values, strict=True)), own.sort_values("seed"))
        for values, own in cells.groupby(list(by), sort=False)
    ]
    return sorted(parts, key=lambda part: [_rank(name, part[0][name]) for name in by])


def numbers(cells: pd.DataFrame, by: tuple[str, ...], origin: Origin) -> Grid:
    """Each number's runs, by seed."""
    rows: list[list[Cell]] = []
    for place, own in groups(cells, by):
        links = [
            origin.link(run["run_id"], f"seed {run['seed']}") for run in own.to_dict("records")
        ]
        rows.append([*map(text, place.values()), str(len(own)), links])
    columns = [*by, "n", "runs"]
    return of_rows("Which runs make which number", columns, rows, folded=len(rows) > 8)


def every(runs: pd.DataFrame, origin: Origin) -> Grid:
    """Every run of the parent, finished or not."""
    rows: list[list[Cell]] = []
    for run in runs.head(MOST).to_dict("records"):
        took = run["ended"] - run["started"] if pd.notna(run.get("ended")) else None
        values = [text(float(run[key])) if key in run else "" for key in _METRICS]
        reason = "" if pd.isna(run["reason"]) else str(run["reason"])
        rows.append(
            [
                str(run["name"]),
                [origin.link(run["run_id"])],
                str(run["status"]),
                *values,
                lasted(took.total_seconds()) if took is not None else "",
                reason,
            ]
        )
    more = f", the newest {MOST} of {len(runs)}" if len(runs) > MOST else ""
    columns = ["run", "id", "status", *_METRICS.values(), "took", "reason"]
    return of_rows(f"Every run: last values{more}", columns, rows, folded=True)


def _rank(name: str, value: Any) -> tuple[int, Any]:
    if name == "rule":
        return (ORDER.index(value) if value in ORDER else len(ORDER), str(value))
    return 0, value if not isinstance(value, str) else _natural(value)


def _natural(value: str) -> str:
    """For sorting: M8 before M16."""
    return "".join(f"{part:0>6}" if part.isdigit() else part for part in _split(value))


def _split(value: str) -> list[str]:
    parts: list[str] = []
    for letter in value:
        if parts and letter.isdigit() == parts[-1][-1].isdigit():
            parts[-1] += letter
        else:
            parts.append(letter)
    return parts
