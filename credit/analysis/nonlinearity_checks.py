"""Statements on the nonlinearity ladder, fixed before its numbers are seen, and whether they hold.

The shape that was reported: at alpha = 1 the credit bridge leads the state bridge at every depth
and both fall with depth; at alpha = 0 the state bridge leads; dfa stays near 0; the vector field is
far above both bridges. Differences between rules are paired by seed.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

import pandas as pd

from credit.analysis.nonlinearity import QUANTITIES, values
from credit.analysis.selection import pick
from credit.audit import Verdict

NEAR_ZERO = 0.1
"""Largest |mean| that counts as near 0; twice the audit's bound of a poor direction."""
FAR = 0.2
"""Least lead that counts as far above, the audit's bound of a reasonable direction."""

_BRIDGES = ("state_bridge", "credit_bridge")


class _Cell(NamedTuple):
    """One number of one depth, or one difference of two."""

    name: str  # "L=4"
    text: str  # what is compared, with sd and n
    value: float  # nan where no seed has it


def verdicts(runs: pd.DataFrame) -> list[dict[str, Any]]:
    """Whether each statement holds: pass, fail, or undefined where a cell of it is missing.

    Returns:
        `audit.Verdict` as dictionaries, with `rule`, `quantity` ("gamma", "rho") and `alpha` (None:
        all of them); strict JSON. The reason gives every mean or paired difference with sample sd
        and n.

    Raises:
        CreditError: as `nonlinearity.values`.
    """
    found, grid = values(runs), runs.loc[runs["k"] == runs["depth"]]
    rows = []

    def add(rule: str, quantity: str, alpha: float | None, verdict: Verdict) -> None:
        rows.append({"rule": rule, "quantity": quantity, "alpha": alpha, **asdict(verdict)})

    state, credit = _BRIDGES
    for name in ("gamma", "rho"):
        add(credit, name, 1.0, _leads(found, grid, name, 1.0, credit, [state]))
        add(state, name, 0.0, _leads(found, grid, name, 0.0, state, [credit]))
        for rule in _BRIDGES:
            add(rule, name, 1.0, _falls(found, grid, name, 1.0, rule))
        add("dfa", name, None, _near_zero(found, grid, name, "dfa"))
        far = _leads(found, grid, name, 1.0, "vector_field", _BRIDGES, FAR)
        add("vector_field", name, 1.0, far)
    return rows


def _leads(
    found: pd.DataFrame,
    grid: pd.DataFrame,
    name: str,
    alpha: float,
    rule: str,
    others: Sequence[str],
    margin: float = 0.0,
) -> Verdict:
    """At every depth the rule's mean is more than `margin` above the best of the others'."""
    symbol = QUANTITIES[name].symbol
    check = f"far above {symbol}" if margin else f"leads {symbol} α={alpha:g}"
    claim = f"{symbol} of {rule} at α={alpha:g} against {' and '.join(others)}"
    cells = []
    for depth in _depths(grid, alpha, rule):
        pairs = [_paired(found, name, alpha, depth, rule, other) for other in others]
        if any(pair.empty for pair in pairs):
            cells.append(_Cell(f"L={depth}", "missing", math.nan))
            continue
        best = max(pairs, key=lambda pair: pair["other"].mean())
        gap = best["own"] - best["other"]
        text = (
            f"{best['own'].mean():.3f} against {best['other'].mean():.3f}, "
            f"{gap.mean():+.3f}{_spread(gap)}, ahead at {int((gap > 0).sum())}"
        )
        cells.append(_Cell(f"L={depth}", text, float(gap.mean())))
    low = min((cell.value for cell in cells if not math.isnan(cell.value)), default=None)
    failed = [cell.name for cell in cells if cell.value <= margin]
    needed = f"a lead of more than {margin:g}" if margin else "a lead"
    return _verdict(check, claim, cells, failed, f"no {needed.removeprefix('a ')}", low, margin)


def _falls(found: pd.DataFrame, grid: pd.DataFrame, name: str, alpha: float, rule: str) -> Verdict:
    """The rule's mean is lower at each depth than at the one before."""
    symbol = QUANTITIES[name].symbol
    claim = f"{symbol} of {rule} at α={alpha:g} by depth"
    cells = []
    for depth in _depths(grid, alpha, rule):
        own = pick(found, alpha=alpha, rule=rule, depth=depth)[name].dropna()
        text = f"{own.mean():.3f}{_spread(own)}" if len(own) else "missing"
        cells.append(_Cell(f"L={depth}", text, float(own.mean()) if len(own) else math.nan))
    check = f"falls {symbol} α={alpha:g}"
    if len(cells) == 1:
        reason = f"{claim}: {_listed(cells)}; one depth shows no trend"
        return Verdict(check, "undefined", None, 0.0, reason)
    known = [cell for cell in cells if not math.isnan(cell.value)]
    steps = [(b.name, b.value - a.value) for a, b in itertools.pairwise(known)]
    highest = max((step for _, step in steps), default=None)
    failed = [name for name, step in steps if step >= 0]
    return _verdict(check, claim, cells, failed, "no fall", highest, 0.0)


def _near_zero(found: pd.DataFrame, grid: pd.DataFrame, name: str, rule: str) -> Verdict:
    """The rule's mean is within NEAR_ZERO of 0 at every alpha and depth."""
    symbol = QUANTITIES[name].symbol
    claim = f"{symbol} of {rule} at every α and depth"
    cells = []
    places = pick(grid, rule=rule)[["alpha", "depth"]].drop_duplicates()
    for place in places.sort_values(["alpha", "depth"]).to_dict("records"):
        own = pick(found, rule=rule, **place)[name].dropna()
        text = f"{own.mean():+.3f}{_spread(own)}" if len(own) else "missing"
        label = f"α={place['alpha']:g} L={place['depth']}"
        cells.append(_Cell(label, text, float(own.mean()) if len(own) else math.nan))
    known = [cell for cell in cells if not math.isnan(cell.value)]
    largest = max((abs(cell.value) for cell in known), default=None)
    failed = [cell.name for cell in known if abs(cell.value) >= NEAR_ZERO]
    check = f"near 0 {symbol}"
    return _verdict(check, claim, cells, failed, f"not below {NEAR_ZERO:g}", largest, NEAR_ZERO)


def _verdict(
    check: str,
    claim: str,
    cells: list[_Cell],
    failed: list[str],
    failure: str,
    value: float | None,
    threshold: float,
) -> Verdict:
    """Fail where a cell fails, else undefined where one is missing, else pass."""
    if not cells:
        return Verdict(check, "undefined", None, threshold, f"{claim}: not in this experiment")
    missing = [cell.name for cell in cells if math.isnan(cell.value)]
    reason = f"{claim}: {_listed(cells)}"
    if failed:
        return Verdict(
            check, "fail", value, threshold, f"{reason}; {failure} at {', '.join(failed)}"
        )
    if missing:
        reason += f"; no valid value at {', '.join(missing)}"
        return Verdict(check, "undefined", value, threshold, reason)
    return Verdict(check, "pass", value, threshold, reason)


def _depths(grid: pd.DataFrame, alpha: float, rule: str) -> list[int]:
    """The depths at which the experiment has this rule."""
    return sorted(int(depth) for depth in pick(grid, alpha=alpha, rule=rule)["depth"].unique())


def _paired(
    found: pd.DataFrame, name: str, alpha: float, depth: int, rule: str, other: str
) -> pd.DataFrame:
    """Columns own and other, one row per seed at which both rules have a valid value."""
    cell = pick(found, alpha=alpha, depth=depth).set_index("seed")
    columns = {"own": pick(cell, rule=rule)[name], "other": pick(cell, rule=other)[name]}
    return pd.DataFrame(columns).dropna()


def _spread(column: pd.Series) -> str:
    """The sample sd, where there is one, and n: " ± 0.004 (n=3)"."""
    sd = f" ± {column.std(ddof=1):.3f}" if len(column) > 1 else ""
    return f"{sd} (n={len(column)})"


def _listed(cells: list[_Cell]) -> str:
    return "; ".join(f"{cell.name} {cell.text}" for cell in cells)
