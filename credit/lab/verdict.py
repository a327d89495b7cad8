"""The outcome of a check, with its numbers by place and seed, and the bottom line of an audit."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from credit.lab.statistics import Statistics

PASS, FAIL, UNDEFINED = "pass", "fail", "undefined"
UNDECIDED = "undecided"
"""Label of an undefined verdict whose number is there, but within the noise of its bound."""
LONGEST = 160
"""Characters of a reason: one line."""


@dataclass(frozen=True)
class Number:
    """A number that a check compares with its bound."""

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
    late: bool = False
    """Whether it was asked for after first numbers had been seen."""
    place: str = ""
    """Where, in words, if checks of one name and rule are told apart by it."""
    numbers: tuple[Number, ...] = ()
    shown: str = ""
    """The value as people read it."""
    statistics: "Statistics | None" = None
    """What the seeds of the value say, where there are enough."""

    @property
    def row(self) -> dict[str, Any]:
        """The verdict as `verdicts.json` has it."""
        return asdict(self)


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


FAILED = {
    "D3": "training all blocks gains too little over none",
    "beyond a copy": "it does not exceed a copy of the output's gradient",
    "k=L > shallow": "a shallow network does as well",
    "D3 together": "its gain depends on what trained the embedding",
    "transport": "it takes more from the weights than it declares",
    "random labels": "it is not at chance on random labels",
    "D1": "its scale is not stable",
    "direction": "its credit has no direction",
    "calibration": "the bench fails its own calibration",
}
"""Reasons against depth, by the check that failed. Each of them vetoes."""
SHALLOWER = "a shallow network does better"
NEEDED = ("D3", "beyond a copy", "k=L > shallow")
"""Without these there is no evidence, only an open question."""


class BottomLine(NamedTuple):
    """`status` is pass, fail or undefined; `sentence` says so in words, with the reasons."""

    status: str
    sentence: str


def bottom_line(verdicts: Iterable[Verdict]) -> BottomLine:
    """Judge by its checks whether one rule trains depth; checks without a say are ignored.

    A gain alone is no evidence: a credit that knows nothing but the gradient at the output can gain
    as much. So one failed control is enough for "no evidence", whatever else passes.
    """
    found = {verdict.check: verdict for verdict in verdicts}
    against = [
        SHALLOWER if (check, found[check].label) == ("k=L > shallow", "shallower") else said
        for check, said in FAILED.items()
        if check in found and found[check].status == FAIL
    ]
    if against:
        return BottomLine(FAIL, f"no evidence that it trains depth: {'; '.join(against)}")
    missing = [
        f"{check} {found[check].label or found[check].status if check in found else 'was not run'}"
        for check in NEEDED
        if check not in found or found[check].status != PASS
    ]
    if missing:
        return BottomLine(UNDEFINED, f"undecided whether it trains depth: {'; '.join(missing)}")
    return BottomLine(
        PASS,
        "evidence that it trains depth: it gains by all blocks, exceeds a copy of the output's "
        "gradient and beats a shallow network",
    )
