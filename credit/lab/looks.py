"""The look and place of rules: one colour and one marker each, said in the rule's own file."""

import zlib
from typing import NamedTuple

from credit.lab.factor import Factor


class Style(NamedTuple):
    """How one rule looks in every figure."""

    color: str
    marker: str


_COLORS = ("#882255", "#666600", "#332288", "#AA4499", "#117777")
_MARKERS = ("<", ">", "h", "8")
"""Of rules whose file gives no look."""


def style_of(rule: str) -> Style:
    """Return a rule's colour and marker; of a rule without a look they follow from its name."""
    if own := _look(rule):
        return Style(own.color, own.marker)
    number = zlib.crc32(rule.encode())
    return Style(_COLORS[number % len(_COLORS)], _MARKERS[number // len(_COLORS) % len(_MARKERS)])


def place(rule: str) -> tuple[int, str]:
    """Return the key that puts rules in the order of every table and figure."""
    own = _look(rule)
    return (own.place if own else 100, rule)


def fitted(name: str, longest: int = 24) -> str:
    """Return a name with its middle left out where it is long: ends tell names apart."""
    half = (longest - 1) // 2
    return name if len(name) <= longest else f"{name[: longest - 1 - half]}…{name[-half:]}"


def _look(rule: str):  # -> credit.rules.Look | None
    from credit import rules  # here: it loads torch, which analyses do not need

    return rules.look(rule)


RULES = Factor("rule", key=place)
"""The factor of every experiment that compares rules."""
