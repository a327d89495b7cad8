"""The outcome of a check, with its numbers by place and seed."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

PASS, FAIL, UNDEFINED = "pass", "fail", "undefined"
UNDECIDED = "undecided"
"""Label of an undefined verdict whose number is there, but within the noise of its bound."""
LONGEST = 160
"""Characters of a reason: one line."""


@dataclass(frozen=True)
class Number:
    """What a check compares with its bound at one place."""

    place: str
    """Where, in words: "256x4"; empty where there is one place only."""
    symbol: str
    mean: float
    by_seed: dict[str, float]


@dataclass(frozen=True)
class Verdict:
    """One check's outcome; `row` of it is strict JSON."""

    check: str
    rule: str
    """Whose it is: a rule, an arm, or "all"."""
    status: str
    """pass, fail or undefined: there is no number, or noise spans the bound."""
    value: float | None
    """The number that lies nearest to failing, or fails most."""
    threshold: float | None
    reason: str
    label: str = ""
    """The outcome in a word where the check has one: poor, climbs, not applicable."""
    claim: str = ""
    """The sentence that holds if the check passes."""
    late: bool = False
    """Whether it was asked for after first numbers had been seen."""
    place: str = ""
    """Where, in words, if checks of one name and rule are told apart by it."""
    numbers: tuple[Number, ...] = ()
    shown: str = ""
    """The value as people read it."""

    @property
    def row(self) -> dict[str, Any]:
        """The verdict as `verdicts.json` has it."""
        return asdict(self)


def late(verdicts: Iterable[Verdict]) -> list[str]:
    """Return the checks that were asked for after first numbers had been seen, each once."""
    return list(dict.fromkeys(verdict.check for verdict in verdicts if verdict.late))


def worst(statuses: Iterable[str]) -> str:
    """Return fail where one fails, else undefined where one is, else pass."""
    known = set(statuses)
    return next(s for s in (FAIL, UNDEFINED, PASS) if s in known)


def cut(reason: str) -> str:
    """Return a reason as one line of at most LONGEST characters, cut at a word."""
    line = " ".join(reason.split())
    if len(line) <= LONGEST:
        return line
    return line[: LONGEST - 2].rsplit(" ", 1)[0].rstrip(";:,") + " …"
