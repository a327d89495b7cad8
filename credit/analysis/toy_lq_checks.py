"""What is expected of the toy LQ experiment, and whether it holds.

On every seed: |Γ| of dfa below NEAR_ZERO; Γ and ρ of both bridges above FOUND, and their Γ above
that of copy; a nudge below 0 for every learned rule. At tgw=0 nothing ties the credit bridge's
direction, as the error alone tells the cost: its |Γ| must be below COLLAPSED, where the audit
protocol's reasonable directions begin. No values were reported.
"""

from collections.abc import Callable, Iterable
from dataclasses import asdict
from statistics import fmean
from typing import Any

import pandas as pd

from credit.analysis.cells import decide, sample
from credit.analysis.selection import pick
from credit.analysis.toy_lq import HAVING, LEAD, QUANTITIES, values, with_variants
from credit.analysis.wording import LEARNED, over, short, status
from credit.audit import Verdict

NEAR_ZERO = 0.1
FOUND = 0.9
COLLAPSED = 0.2
CONTROL = "credit_bridge tgw=0"


def verdicts(runs: pd.DataFrame) -> list[dict[str, Any]]:
    """Whether the bounds stated above hold: pass, fail, or undefined where a value is missing.

    Returns:
        `audit.Verdict` as dictionaries, with `rule`, the variant; strict JSON. `value` is that of
        the seed that lies nearest to failing.

    Raises:
        CreditError: as `with_variants`.
    """
    named = with_variants(runs)
    asked = [
        ("dfa", "alignment", "near 0", NEAR_ZERO),
        *((rule, q, "found", FOUND) for rule in LEARNED[:2] for q in ("alignment", "rho")),
        *((rule, LEAD, "beats copy", 0.0) for rule in LEARNED[:2]),
        *((rule, "nudge", "lowers cost", 0.0) for rule in LEARNED),
        (CONTROL, "alignment", "collapses", COLLAPSED),
    ]
    return [
        {"rule": variant, **asdict(_judged(named, variant, quantity, check, bound))}
        for variant, quantity, check, bound in asked
    ]


def _judged(runs: pd.DataFrame, variant: str, quantity: str, check: str, bound: float) -> Verdict:
    symbol = _symbol(quantity)
    name = check if quantity == LEAD else f"{check} {symbol}"
    holds, worst = _TESTS[check]

    def judge() -> Verdict:
        own = sample(pick(runs, variant=variant), quantity, variant, HAVING, values, symbol)
        found = list(own.values())
        value = worst(found)
        reason = (
            f"{symbol} of {variant} is {_number(fmean(found), quantity)} "
            f"({_number(min(found), quantity)} to {_number(max(found), quantity)}), "
            f"{over(found)}; {_ASKED[check].format(short(bound))} on every seed is asked for"
        )
        return Verdict(name, status(holds(value, bound)), value, bound, reason)

    return decide(name, bound, judge)


def _smallest(values: Iterable[float]) -> float:
    return min(values)


def _largest(values: Iterable[float]) -> float:
    return max(values)


def _largest_size(values: Iterable[float]) -> float:
    return max(map(abs, values))


_Test = tuple[Callable[[float, float], bool], Callable[[Iterable[float]], float]]
_TESTS: dict[str, _Test] = {
    "near 0": (float.__lt__, _largest_size),
    "collapses": (float.__lt__, _largest_size),
    "found": (float.__gt__, _smallest),
    "beats copy": (float.__gt__, _smallest),
    "lowers cost": (float.__lt__, _largest),
}
"""What must hold of a seed's value and the bound, and which seed is nearest to failing."""
_ASKED = {
    "near 0": "a size below {}",
    "collapses": "a size below {}",
    "found": "more than {}",
    "beats copy": "more than 0",
    "lowers cost": "a value below 0",
}


def _symbol(quantity: str) -> str:
    return "Γ minus copy's" if quantity == LEAD else QUANTITIES[quantity]


def _number(value: float, quantity: str) -> str:
    return f"{value:.2g}" if quantity == "nudge" else short(value)
