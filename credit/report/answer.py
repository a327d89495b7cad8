"""What an experiment came to, in one line: grouped outcomes and counts, with their numbers."""

from collections import Counter
from collections.abc import Sequence

from credit.lab import Results, Verdict, table
from credit.lab.departure import PUBLISHED
from credit.lab.verdict import FAIL, PASS, UNDEFINED

STATUSES = (PASS, FAIL, UNDEFINED)
LONGEST = 330
"""Characters of an answer with its suffix; an answer that is longer by itself keeps its claims."""


def answer(found: Results) -> str:
    """Return the outcome, with its seeds and how the runs differ from the published ones.

    No claim is ever cut: where there is no room, the suffix goes.
    """
    own = found.experiment.answer
    text = own(found) if own else " ".join([*outcomes(found), tally(found.verdicts)]).strip()
    text = text or f"{found.experiment.title}: {numbers(found)}."
    whole = f"{text} ({suffix(found)})"
    short = f"{text} ({found.n})"
    return next((line for line in (whole, short) if len(line) <= LONGEST), text)


def suffix(found: Results) -> str:
    """Return over how many seeds, and how the runs differ from the published ones."""
    return found.n if found.settings in ("", PUBLISHED) else f"{found.n}; {found.settings}"


def numbers(found: Results) -> str:
    """Return the first column of the table, cell by cell: what is known where nothing is asked."""
    first, factors = found.experiment.columns[0], found.frame.factors
    cells = []
    for row in found.table.to_dict("records"):
        labels = [f.show(found.frame.short(row[f.name])) for f in factors]
        value = table.text(row, first) or "no number"
        cells.append(" ".join(filter(None, [*labels, first.symbol, value])))
    return "; ".join(cells)


def outcomes(found: Results) -> list[str]:
    """Return the experiment's main check, its verdicts grouped by their word."""
    check = found.experiment.headline
    own = [v for v in found.verdicts if v.check == check]
    groups: dict[str, list[str]] = {}
    for verdict in own:
        word = verdict.label or verdict.status
        groups.setdefault(word, []).append(f"{found.frame.short(verdict.rule)}{number(verdict)}")
    parts = [f"{word}: {', '.join(names)}" for word, names in groups.items()]
    return [f"{check.capitalize()}: {'; '.join(parts)}."] if parts else []


def number(verdict: Verdict) -> str:
    """Return a verdict's value behind its rule: " +22.8 points", or nothing."""
    if verdict.value is None or not verdict.numbers:
        return ""
    return f" {verdict.shown}" if verdict.shown else ""


def tally(verdicts: Sequence[Verdict]) -> str:
    """Return how many checks have each status, and the names of those that fail."""
    if not verdicts:
        return ""
    counts = Counter(verdict.status for verdict in verdicts)
    parts = [f"{counts[status]} {status}" for status in STATUSES if counts[status]]
    return f"{len(verdicts)} check{'s' if len(verdicts) > 1 else ''}: {', '.join(parts)}."


def counts(verdicts: Sequence[Verdict]) -> dict[str, float]:
    """Return how many checks have each status, as metrics of the parent run."""
    known = Counter(verdict.status for verdict in verdicts)
    names = {"checks/passed": PASS, "checks/failed": FAIL, "checks/undefined": UNDEFINED}
    return {name: float(known[status]) for name, status in names.items()}
