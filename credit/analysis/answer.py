"""What an experiment came to, for the page of its parent run: one line, then Markdown below it.

Everything is made from `Results`; nothing of it is written by hand.
"""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from credit.analysis.appendix import tally, who
from credit.analysis.results import Results
from credit.tracking.artifacts import harmless, markdown, visible

_MOST = 4600
"""Characters of a page: an export refuses texts above 5000, and its links may grow elsewhere."""
_LONGEST_ANSWER = 330
_BRACKETS = re.compile(r" \((?:[^()]|\([^()]*\))*\)")
"""The numbers of a claim."""
_SHOWN = re.compile(r"; shown is [^.;]*")
"""What a claim says of its numbers."""
_REDUCED = re.compile(r"\b(?:REDUCED|CHANGED): [^;]*")
_WORDS = ("climbs", "rises", "flat", "stays", "falls")
_COPY = " > copy"
"""How the checks of the copy control end: has a rule found more than the skip path gives away?"""
_BOUNDARY = {
    "eT_hL": "h_L beside eT",
    "deltaL_hL": "h_L beside deltaL",
    "tgw": "over tgw",
    "warmup": "over warm-ups",
    "warm deltaL": "over warm-ups with deltaL",
}
"""What the checks of the boundary ablation vary."""


def answer(found: Results) -> str:
    """Return `plain_answer` as Markdown without HTML, links and images."""
    return harmless(plain_answer(found))


def plain_answer(found: Results) -> str:
    """Return the experiment's outcome in one line, with its seeds and in what it is reduced.

    The experiment's own answer if it has one; else its claims without their numbers; without
    claims how what was compared ranks, and the checks. No claim is cut: details of the reduction
    go first, then whole claims behind the first.
    """
    if found.answer:
        lines = [found.answer]
    else:
        ranked, claims = _said(found)
        decided = [line for line in claims if not line.startswith("Undecided")] or claims
        lines = [_SHOWN.sub("", _BRACKETS.sub("", line)) for line in decided]
        if copies := copy_line(found.verdicts):
            lines = [line for line in lines if "passed back unchanged" not in line]
            lines.insert(1, copies)
        lines = lines if claims else [*tally(found.verdicts)[:1], *ranked]
    return visible(fitted([" ".join(line.split()) for line in lines or [found.title]], found))


def fitted(claims: Sequence[str], found: Results) -> str:
    """Return as many whole claims as one line takes, the first always, then their qualifiers."""
    brief = f" ({qualifiers(found, detailed=False)})"
    text, *rest = claims
    for claim in rest:
        if len(text) + 1 + len(claim) + len(brief) <= _LONGEST_ANSWER:
            text = f"{text} {claim}"
    whole = f"{text} ({qualifiers(found)})"
    return whole if len(whole) <= _LONGEST_ANSWER else f"{text}{brief}"


def qualifiers(found: Results, detailed: bool = True) -> str:
    """Over how many seeds, and in what the runs are less than the published ones.

    Args:
        detailed: else that they are less, in a word.
    """
    low, high = 0, 0
    if found.cells is not None and found.by and len(found.cells):
        sizes = [len(own) for _, own in found.cells.groupby([*found.by], dropna=False)]
        low, high = min(sizes), max(sizes)
    parts = [f"n = {low}" if low == high else f"n = {low} to {high}"]
    if less := _REDUCED.search(found.title):
        parts.append(less.group() if detailed else less.group().partition(":")[0])
    return "; ".join(parts)


def trends(start: str, verdicts: Sequence[dict[str, Any]]) -> str:
    """By how much each rule's accuracy rises or falls: the checks called shape.

    Args:
        start: of what it is a change, "From no to all blocks trained".
    """
    shapes = [verdict for verdict in verdicts if verdict["check"] == "shape"]
    known = [v for v in shapes if v["label"] in _WORDS and v["value"] is not None]
    parts = []
    for word in _WORDS:
        own = sorted((v for v in known if v["label"] == word), key=lambda v: -v["value"])
        if own:
            names = ", ".join(f"{v['rule']} {100 * v['value']:+.1f}" for v in own)
            parts.append(f"{word}: {names} points")
    if missing := [v["rule"] for v in shapes if v not in known]:
        parts.append(f"undefined: {', '.join(missing)}")
    return f"{start}, accuracy {'; '.join(parts)}." if parts else ""


def directions(verdicts: Sequence[dict[str, Any]]) -> str:
    """Where each rule's credit points at the middle layer."""
    parts = [
        f"{who(v)} {v['label'] or v['status']}"
        + ("" if v["value"] is None else f" (|cos| {v['value']:.2f})")
        for v in verdicts
        if v["check"] == "direction"
    ]
    return f"Direction of the credit at the middle layer: {'; '.join(parts)}." if parts else ""


def boundary(verdicts: Sequence[dict[str, Any]]) -> str:
    """What the code, its weight and the warm-up do to a credit bridge; empty if unknown."""
    parts = []
    for v in verdicts:
        if v["check"] == "deltaL leads" and v["status"] != "undefined":
            lead = "leads" if v["status"] == "pass" else "does not lead"
            parts.append(f"deltaL {lead} the other codes in Γ")
        elif v["check"] in _BOUNDARY and v["label"]:
            label = f"Γ {v['label']}" if v["check"] == "tgw" else v["label"]
            parts.append(
                f"{_BOUNDARY[v['check']]}: {label.replace('Γ no trend', 'Γ has no trend')}"
            )
    return f"Credit bridge: {'; '.join(parts)}." if parts else ""


def copy_line(verdicts: Sequence[dict[str, Any]]) -> str:
    """How many are beyond g_L passed back unchanged; empty where that was not judged."""
    known = [v for v in verdicts if v["check"].endswith(_COPY) and v["status"] != "undefined"]
    if not known:
        return ""
    beyond = sum(v["status"] == "pass" for v in known)
    if not beyond:
        return f"But none of {len(known)} is beyond the skip path (copy control)."
    but = "" if beyond == len(known) else "But only "
    return f"{but}{beyond} of {len(known)} are beyond the skip path (copy control)."


def page(found: Results, figure: str, links: Sequence[str]) -> str:
    """The description of a parent run: answer, question, figure, links, reasons, table.

    What is to be kept in mind, how many checks pass and the title with its reductions are always
    there; other sections are shortened by rows, and say so.

    Args:
        figure: address of the figure, empty if there is none.
        links: Markdown, shown side by side.
    """
    top = [f"**{answer(found)}**", harmless(found.question), " · ".join(links)]
    if figure and found.figure is not None:
        top.append(f"![figure]({figure})")
    ranked, claims = _said(found)
    head, *rows = _lines(markdown(found.wide), 2)
    sections = [
        _Section("Why", "", _bullets(claims)),
        _Section("Numbers", head if rows else "", rows),
        _Section("Checks", *_checks(found.verdicts)),
        _Section("More", "", _bullets([*ranked, *found.notes])),
    ]
    kept = _Section("Keep in mind", "", _bullets(found.caveats)).whole
    last = [kept, harmless(found.title)]
    room = _MOST - sum(len(part) + 2 for part in [*top, *last])
    parts = [*top, *_fitted(sections, room), *last]
    return "\n\n".join(part for part in parts if part)


class _Section(NamedTuple):
    """A part of a page that can be shortened by rows."""

    heading: str
    first: str
    """What stays: the head of a table, a count."""
    rows: list[str]

    @property
    def whole(self) -> str:
        return self.shown(len(self.rows))

    def shown(self, count: int) -> str:
        """With so many rows, and how many more there are."""
        if not (self.first or self.rows):
            return ""
        lines = [line for line in (self.first, *self.rows[:count]) if line]
        if left := len(self.rows) - count:
            if self.first.startswith("|"):
                lines = [*lines, ""] if count else []
            lines.append(f"… {left} more in the report")
            if not self.first.startswith("|"):
                lines[-1] = f"- {lines[-1]}"
        return "\n".join([f"**{self.heading}**", "", *lines])

    def within(self, room: int) -> str:
        """With as many rows as there is room for."""
        counts = range(len(self.rows), 0, -1)
        return next((s for n in counts if len(s := self.shown(n)) <= room), self.shown(0))


def _fitted(sections: Sequence[_Section], room: int) -> list[str]:
    """The sections in their order; what small ones leave over goes to the larger ones."""
    left = [section for section in sections if section.whole]
    shown = {}
    for section in sorted(left, key=lambda section: len(section.whole)):
        text = section.within(room // (len(left) - len(shown)) - 2)
        shown[section.heading] = text
        room -= len(text) + 2
    return [shown[section.heading] for section in left]


def _said(found: Results) -> tuple[list[str], list[str]]:
    """The findings beside the tally of checks: how things rank, and what is claimed of them."""
    counted = set(tally(found.verdicts))
    said = [line for line in found.findings if line not in counted]
    places = [place for place, line in enumerate(found.findings) if line in counted]
    ranked = list(found.findings[: places[0]]) if places else said
    return ranked, said[len(ranked) :]


def counts(verdicts: Sequence[dict[str, Any]]) -> dict[str, float]:
    """How many checks have each status: metrics of the parent run."""
    named = {"pass": "checks/passed", "fail": "checks/failed", "undefined": "checks/undefined"}
    return {
        name: float(sum(v["status"] == status for v in verdicts)) for status, name in named.items()
    }


def _checks(verdicts: Sequence[dict[str, Any]]) -> tuple[str, list[str]]:
    """How many pass, and the reason of each that does not."""
    rows = [
        f"- **{harmless(who(v))}** {harmless(v['check'])}: {v['status']}, "
        f"{harmless(_cut(' '.join(v['reason'].split()), 200))}"
        for v in verdicts
        if v["status"] != "pass"
    ]
    return "\n".join(_bullets(tally(verdicts)[:1])), rows


def _bullets(lines: Sequence[str]) -> list[str]:
    return [f"- {harmless(' '.join(line.split()))}" for line in lines]


def _lines(table: str, head: int) -> list[str]:
    """The head of a Markdown table, then its rows."""
    lines = table.splitlines()
    return ["\n".join(lines[:head]), *lines[head:]]


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1].rsplit(' ', 1)[0]} …"
