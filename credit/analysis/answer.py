"""What an experiment came to, for the page of its parent run: one line, then Markdown below it.

Everything is made from `Results`; nothing of it is written by hand.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

from credit.analysis.appendix import tally, who
from credit.analysis.results import Results
from credit.tracking.artifacts import harmless, markdown

_MOST = 4400
"""Characters of a page: an export refuses texts above 5000, and links are added."""
_LONGEST_ANSWER = 230
_BRACKETS = re.compile(r" \((?:[^()]|\([^()]*\))*\)")
"""The numbers of a claim."""
_WORDS = ("climbs", "flat", "falls")


def answer(found: Results) -> str:
    """The experiment's outcome in one line.

    Of a ladder by how much each rule climbs or falls, of a direction where it points; else its
    claims without their numbers; without claims how what was compared ranks, and the checks.
    """
    by_check: dict[str, list[dict[str, Any]]] = {}
    for verdict in found.verdicts:
        by_check.setdefault(verdict["check"], []).append(verdict)
    if "shape" in by_check:
        text = _shapes(by_check["shape"])
    elif "direction" in by_check and by_check.keys() <= {"D1", "D2", "direction"}:
        text = _directions(by_check["direction"])
    else:
        ranked, claims = _said(found)
        lines = [_BRACKETS.sub("", line) for line in claims]
        lines = lines or [*tally(found.verdicts)[:1], *ranked] or [found.title]
        text = lines[0]
        for line in lines[1:]:
            if len(text) + len(line) < _LONGEST_ANSWER:
                text = f"{text} {line}"
    return _cut(harmless(" ".join(text.split())), _LONGEST_ANSWER)


def page(found: Results, figure: str, links: Sequence[str]) -> str:
    """The description of a parent run: answer, question, figure, links, reasons, table.

    A table that is too long for it is left to the run's files.

    Args:
        figure: address of the figure, empty if there is none.
        links: Markdown, shown side by side.
    """
    parts = [f"**{answer(found)}**", harmless(found.question)]
    parts.append(" · ".join(links))
    if figure and found.figure is not None:
        parts.append(f"![figure]({figure})")
    size = sum(map(len, parts))
    ranked, claims = _said(found)
    rest = [
        ("Why", _bullets(claims)),
        ("Numbers", markdown(found.wide)),
        ("Checks", _checks(found.verdicts)),
        ("More", _bullets([*ranked, *found.notes])),
        ("Keep in mind", _bullets(found.caveats)),
    ]
    for heading, text in rest:
        part = f"**{heading}**\n\n{text}" if text else ""
        if part and size + len(part) < _MOST:
            parts.append(part)
            size += len(part)
    parts.append(harmless(found.title))
    return "\n\n".join(part for part in parts if part)


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


def _shapes(verdicts: Sequence[dict[str, Any]]) -> str:
    known = [v for v in verdicts if v["label"] in _WORDS]
    parts = []
    for word in _WORDS:
        own = sorted((v for v in known if v["label"] == word), key=lambda v: -v["value"])
        if own:
            names = _and(f"{v['rule']} {100 * v['value']:+.1f}" for v in own)
            parts.append(f"{word}: {names} points")
    missing = [v["rule"] for v in verdicts if v not in known]
    if missing:
        parts.append(f"undefined: {_and(missing)}")
    return f"From no to all blocks trained, accuracy {'; '.join(parts)}."


def _directions(verdicts: Sequence[dict[str, Any]]) -> str:
    parts = [
        f"{who(v)} {v['label'] or v['status']}"
        + ("" if v["value"] is None else f" (|cos| {v['value']:.2f})")
        for v in verdicts
    ]
    return f"Direction of the credit at the middle layer: {'; '.join(parts)}."


def _checks(verdicts: Sequence[dict[str, Any]]) -> str:
    """How many pass, and the reason of each that does not."""
    failing = [v for v in verdicts if v["status"] != "pass"]
    lines = [
        f"**{who(v)}** {v['check']}: {v['status']}, {harmless(_cut(v['reason'], 200))}"
        for v in failing
    ]
    first = tally(verdicts)[:1]
    return _bullets([*first, *lines], safe=True)


def _bullets(lines: Sequence[str], safe: bool = False) -> str:
    clean: Callable[[str], str] = str if safe else harmless
    return "\n".join(f"- {clean(' '.join(line.split()))}" for line in lines)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1].rsplit(' ', 1)[0]} …"


def _and(parts: Any) -> str:
    return ", ".join(parts)
