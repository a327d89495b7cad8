"""The story as tables: experiments, claims, and the numbers behind them with their runs."""

from collections.abc import Iterable
from html import escape

import pandas as pd
from pandas.io.formats.style import Styler

from credit.analysis.story import Chapter
from credit.analysis.story_claim import FAILS, HOLDS, MISSING, UNDECIDED

COLORS = {HOLDS: "#00664b", FAILS: "#a33c00", UNDECIDED: "#555555", MISSING: "#555555"}
"""By status; the word stands beside it everywhere."""

_SHORT = 8  # characters of an id that are shown
_SHOWN = 3  # ids beside a number before the others are folded


def experiments(chapters: Iterable[Chapter], ui: str = "") -> pd.DataFrame:
    """What the store has of every chapter, and what to type where it has nothing.

    Args:
        ui: address of MLflow's pages, for links; "" makes none.
    """
    rows = []
    for own in chapters:
        runs = f"{own.done} of {own.total} finished" if own.total else ""
        state = own.settings or own.trouble
        rows.append(
            {
                "": f"{own.place}",
                "experiment": own.kind,
                "question": own.question,
                "parent": links([own.parent] if own.parent else [], own, ui),
                "runs": runs,
                "settings": f"{MISSING}: {own.command}" if own.status == MISSING else state,
                "chosen as": own.choice,
            }
        )
    return pd.DataFrame(rows)


def claims(chapters: Iterable[Chapter], ui: str = "") -> pd.DataFrame:
    """One row per claim, and one per experiment that has none to offer.

    Returns:
        Columns claim ("4.1 name"), status, sentence, n, settings, parent, experiment.
    """
    rows = []
    for own in chapters:
        parent = links([own.parent] if own.parent else [], own, ui)
        end = {"settings": own.settings, "parent": parent, "experiment": own.kind}
        if not own.claims:
            status = own.status or UNDECIDED
            text = own.trouble or f"Not in the store: {own.command}."
            row = {"claim": f"{own.place} {own.question}", "status": status, "sentence": text}
            rows.append(row | {"n": ""} | end)
        for index, one in enumerate(own.claims, start=1):
            row = {"claim": f"{own.place}.{index} {one.name}", "status": one.status}
            rows.append(row | {"sentence": one.sentence, "n": one.seeds.removeprefix("n = ")} | end)
    return pd.DataFrame(rows)


def numbers(chapters: Iterable[Chapter], kinds: Iterable[str], ui: str = "") -> pd.DataFrame:
    """The numbers behind the claims of some chapters, with the runs that each comes from.

    Returns:
        Columns claim, asked for, of, quantity, number ("+5.1 ± 0.3 points"), n, runs.
    """
    rows, kinds = [], set(kinds)
    for own in chapters:
        for index, one in enumerate(own.claims if own.kind in kinds else (), start=1):
            for point in one.points:
                known = point.mean == point.mean
                rows.append(
                    {
                        "claim": f"{own.place}.{index} {one.name}",
                        "asked for": one.limit.text(one.unit),
                        "of": point.name,
                        "quantity": "; ".join(filter(None, (point.kind, one.unit.axis))),
                        "number": one.unit.text(point.mean, point.sd) if known else "not valid",
                        "n": point.n,
                        "runs": links(point.runs, own, ui),
                    }
                )
    names = ["claim", "asked for", "of", "quantity", "number", "n", "runs"]
    return pd.DataFrame(rows, columns=names)


def counts(chapters: Iterable[Chapter]) -> str:
    """How many claims hold: "12 of 18 claims hold, 6 do not; 3 experiments not there yet"."""
    told = list(chapters)
    found = [one.status for own in told for one in own.claims]
    parts = [f"{found.count(HOLDS)} of {len(found)} claims hold, {found.count(FAILS)} do not"]
    if undecided := found.count(UNDECIDED):
        parts.append(f"{undecided} undecided")
    if trouble := [own.kind for own in told if own.trouble]:
        parts.append(f"cannot be told: {', '.join(trouble)}")
    if missing := [own.kind for own in told if own.status == MISSING]:
        parts.append(f"not there yet: {', '.join(missing)}")
    return "; ".join(parts)


def links(runs: Iterable[str], own: Chapter, ui: str) -> str:
    """Short ids as HTML, linked where there is an address; many are folded."""
    texts = []
    for run in runs:
        short = escape(run[:_SHORT])
        target = f"{ui.rstrip('/')}/#/experiments/{own.experiment}/runs/{run}"
        texts.append(f'<a href="{escape(target)}">{short}</a>' if ui else short)
    if len(texts) <= _SHOWN:
        return " ".join(texts)
    return f"<details><summary>{len(texts)} runs</summary>{' '.join(texts)}</details>"


def styled(table: pd.DataFrame) -> Styler:
    """A table of this module for a notebook: text to the left, statuses in their colour."""
    shown = table.copy()
    if "of" in shown:  # what is the same in all rows of a claim stands in the first
        again = table["claim"] == table["claim"].shift()
        shown.loc[again, ["claim", "asked for"]] = ""
    look = shown.style.hide().set_properties(**{"text-align": "left", "vertical-align": "top"})
    look = look.set_table_styles([{"selector": "th", "props": "text-align: left"}])
    narrow = [name for name in ("status", "n", "parent") if name in shown]
    look = look.set_properties(subset=narrow, **{"white-space": "nowrap"})
    if "status" in shown:
        look = look.map(lambda s: f"color: {COLORS[s]}; font-weight: bold", subset=["status"])
    return look
