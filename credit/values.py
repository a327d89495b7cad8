"""Values that users type: parsed, compared, shown in one form, refused with a remedy."""

import difflib
import math
from collections.abc import Iterable
from typing import Any

from credit.errors import CreditError

LARGEST = 2**63 - 1
"""No whole number is larger: tables, and generators of random numbers, hold 64 bits."""


def check_names(
    given: Iterable[str], known: Iterable[str], what: str, listed: str | None = None
) -> None:
    """Raise a CreditError with a suggestion for the first of `given` that is not in `known`.

    `listed` says where all of `known` are to be found, in place of the list itself.
    """
    known = list(known)
    for name in given:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            guess = f"did you mean {close[0]!r}? " if close else ""
            choices = listed or f"choose from {', '.join(known)}"
            if guess and len(known) > 10:  # too many to stand beside a guess
                choices = ""
            raise CreditError(f"unknown {what} {name!r}: {guess}{choices}".rstrip())


def format_value(value: Any) -> str:
    """The one string form of a field: `true` or `false`, the shortest exact form of a float."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def parse_value(name: str, kind: type, value: Any) -> Any:
    """`value`, perhaps a string, as the Python type `kind`.

    Raises:
        CreditError: it is not one; the message names the parameter.
    """
    what, remedy = _KINDS[kind]
    wrong = CreditError(f"{name}={value!r} is not {what}: {remedy}")
    if kind is bool:
        if str(value).lower() not in ("true", "false"):
            raise wrong
        return str(value).lower() == "true"
    if kind is str:
        if not isinstance(value, str) or not value:
            raise wrong
        return value
    if isinstance(value, bool) or (kind is int and isinstance(value, float)):
        raise wrong
    try:
        parsed = kind(value)
    except (TypeError, ValueError, OverflowError):
        raise wrong from None
    if kind is int and abs(parsed) > LARGEST:
        raise CreditError(f"{name}={str(value)[:40]} is too large: pass at most {LARGEST}")
    if kind is float and not math.isfinite(parsed):
        raise CreditError(f"{name}={str(value).strip()} is not finite: pass a finite number")
    return parsed + 0  # -0.0 becomes 0.0: one value, one hash


_KINDS = {
    int: ("a whole number", "pass one, such as 4"),
    float: ("a number", "pass one, such as 0.01"),
    bool: ("true or false", "pass one of these"),
    str: ("a name", "pass one, or leave it out"),
}


def same_value(one: str, other: str) -> bool:
    """Return whether two strings mean the same: `1e-3` and `0.001`, or `True,1` and `true,1`."""
    ones, others = one.split(","), other.split(",")
    return len(ones) == len(others) and all(map(_same, ones, others))


def _same(one: str, other: str) -> bool:
    one, other = one.strip(), other.strip()
    if one.lower() == other.lower():
        return True
    try:
        return float(one) == float(other)
    except ValueError:
        return False
