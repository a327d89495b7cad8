"""The outcome of an experiment in one line: grouped outcomes and counts, with their numbers."""

from collections import Counter
from collections.abc import Sequence

from credit.lab import Results, Verdict, table
from credit.lab.departure import PUBLISHED
from credit.lab.verdict import FAIL, PASS, UNDEFINED

STATUSES = (PASS, FAIL, UNDEFINED)
LONGEST = 330
"""Characters of an answer with its suffix; an answer that is longer by itself keeps its claims."""


def answer(found: Results, settings: bool = True) -> str:
    """Return the outcome, with its seeds and how the runs differ from the published ones.

    No claim is ever cut: where there is no room, the suffix goes.

    Args:
        settings: whether to say how they differ.
    """
    own = found.experiment.answer
    text = own(found) if own else f"{_outcomes(found)} {tally(found.verdicts)}".strip()
    text = text or f"{found.experiment.title}: {_numbers(found)}."
    apart = "" if found.settings in ("", PUBLISHED) or not settings else f"; {found.settings}"
    lines = (f"{text} ({found.n}{apart})", f"{text} ({found.n})")
    return next((line for line in lines if len(line) <= LONGEST), text)


def _numbers(found: Results) -> str:
    """Return the first column of the table, cell by cell: what is known where nothing is asked."""
    first, frame, cells = found.experiment.columns[0], found.frame, []
    for row in found.table.to_dict("records"):
        value = table.text(row, first) or "no number"
        cell = frame.name({factor.name: row[factor.name] for factor in frame.factors})
        cells.append(f"{cell} {first.symbol} {value}".strip())
    return "; ".join(cells)


def _outcomes(found: Results) -> str:
    """Return the experiment's main check, its verdicts grouped by their word."""
    check = found.experiment.headline
    groups: dict[str, list[str]] = {}
    for own in found.verdicts:
        if own.check == check:
            number = own.shown if own.value is not None and own.numbers else ""
            said = f"{found.frame.short(own.rule)} {number}".strip()
            groups.setdefault(own.label or own.status, []).append(said)
    parts = [f"{word}: {', '.join(names)}" for word, names in groups.items()]
    return f"{check.capitalize()}: {'; '.join(parts)}." if parts else ""


def tally(verdicts: Sequence[Verdict]) -> str:
    """Return how many checks have each status."""
    if not verdicts:
        return ""
    parts = [f"{n:.0f} {s}" for s, n in zip(STATUSES, counts(verdicts).values(), strict=True) if n]
    return f"{len(verdicts)} check{'s' if len(verdicts) > 1 else ''}: {', '.join(parts)}."


def counts(verdicts: Sequence[Verdict]) -> dict[str, float]:
    """Return how many checks have each status, as metrics of the parent run."""
    known = Counter(verdict.status for verdict in verdicts)
    names = ("checks/passed", "checks/failed", "checks/undefined")
    return {name: float(known[status]) for name, status in zip(names, STATUSES, strict=True)}
