"""Statements on the nonlinearity ladder, fixed before its numbers are seen, and whether they hold.

The shape that was reported: at alpha = 1 the credit bridge leads the state bridge at every depth
and both fall with depth; at alpha = 0 the state bridge leads; dfa stays near 0; the vector field is
far above both bridges.

Differences between rules are paired by seed, and a lead counts only where it is there on every
seed that the rules share. A lead in Γ and its fall must be there in the mean over h_1 .. h_L and in
that over l < L: at h_L credit bridge and vector field are taught the exact gradient.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from statistics import fmean
from typing import Any, NamedTuple

import pandas as pd

from credit.analysis.cells import NOT_FITTED, Undecided, leads, not_fitted, paired
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

    name: str  # "L=4", or "L=4 (l < L)"
    text: str  # what is compared, with sd and n
    value: float  # nan where no seed has it; of a lead, that of the seed with the least


def verdicts(runs: pd.DataFrame) -> list[dict[str, Any]]:
    """Whether each statement holds: pass, fail, or undefined where a cell of it is missing.

    Where a statement is on a credit bridge whose estimator is not fitted, the reason says so, and
    if it passes because of that, the label does.

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
    unfitted = {alpha: _unfitted(found, alpha) for alpha in (0.0, 1.0)}
    for name in ("gamma", "rho"):
        ahead = _leads(found, grid, name, 1.0, credit, [state])
        add(credit, name, 1.0, _noted(ahead, unfitted[1.0]))
        behind = _leads(found, grid, name, 0.0, state, [credit])
        add(state, name, 0.0, _noted(behind, unfitted[0.0], NOT_FITTED))
        add(state, name, 1.0, _falls(found, grid, name, 1.0, state))
        falls = _falls(found, grid, name, 1.0, credit)
        add(credit, name, 1.0, _noted(falls, unfitted[1.0], NOT_FITTED))
        add("dfa", name, None, _near_zero(found, grid, name, "dfa"))
        far = _leads(found, grid, name, 1.0, "vector_field", _BRIDGES, FAR)
        add("vector_field", name, 1.0, _noted(far, unfitted[1.0]))
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
    """At every depth, on every shared seed: more than `margin` above the best of the others."""
    symbol = QUANTITIES[name].symbol
    check = f"far above {symbol}" if margin else f"leads {symbol} α={alpha:g}"
    claim = f"{symbol} of {rule} at α={alpha:g} against {' and '.join(others)}"
    cells = []
    for depth in _depths(grid, alpha, rule):
        for kind, label in _kinds(name, depth):
            samples = [
                _sample(found, kind, rule=who, alpha=alpha, depth=depth) for who in (rule, *others)
            ]
            try:
                own, *rest = paired(samples)
            except Undecided:
                cells.append(_Cell(label, "missing", math.nan))
                continue
            gaps = leads(own, *rest)
            best = fmean(map(max, zip(*rest, strict=True)))
            text = (
                f"{fmean(own):.3f} against {best:.3f}, {fmean(gaps):+.3f}{_spread(gaps)}, "
                f"least {min(gaps):+.3f}, ahead at {sum(gap > 0 for gap in gaps)}"
            )
            cells.append(_Cell(label, text, min(gaps)))
    low = min((cell.value for cell in cells if not math.isnan(cell.value)), default=None)
    failed = [cell.name for cell in cells if cell.value <= margin]
    needed = f"lead of more than {margin:g}" if margin else "lead"
    return _verdict(check, claim, cells, failed, f"no {needed} on every seed", low, margin)


def _falls(found: pd.DataFrame, grid: pd.DataFrame, name: str, alpha: float, rule: str) -> Verdict:
    """The rule's mean is lower at each depth than at the one before."""
    symbol = QUANTITIES[name].symbol
    claim = f"{symbol} of {rule} at α={alpha:g} by depth"
    check = f"falls {symbol} α={alpha:g}"
    depths = _depths(grid, alpha, rule)
    courses: dict[str, list[_Cell]] = {}
    for depth in depths:
        for kind, label in _kinds(name, depth):
            own = _sample(found, kind, rule=rule, alpha=alpha, depth=depth)
            courses.setdefault(kind, []).append(_cell(label, own))
    cells = list(itertools.chain.from_iterable(courses.values()))
    if len(depths) == 1:
        reason = f"{claim}: {_listed(cells)}; one depth shows no trend"
        return Verdict(check, "undefined", None, 0.0, reason)
    steps: list[tuple[str, float]] = []
    for course in courses.values():
        known = [cell for cell in course if not math.isnan(cell.value)]
        steps += [(b.name, b.value - a.value) for a, b in itertools.pairwise(known)]
    highest = max((step for _, step in steps), default=None)
    failed = [label for label, step in steps if step >= 0]
    return _verdict(check, claim, cells, failed, "no fall", highest, 0.0)


def _near_zero(found: pd.DataFrame, grid: pd.DataFrame, name: str, rule: str) -> Verdict:
    """The rule's mean is within NEAR_ZERO of 0 at every alpha and depth."""
    symbol = QUANTITIES[name].symbol
    claim = f"{symbol} of {rule} at every α and depth"
    cells = []
    places = pick(grid, rule=rule)[["alpha", "depth"]].drop_duplicates()
    for place in places.sort_values(["alpha", "depth"]).to_dict("records"):
        own = _sample(found, name, rule=rule, **place)
        cells.append(_cell(f"α={place['alpha']:g} L={place['depth']}", own, "+"))
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
        reason += f"; {failure} at {', '.join(failed)}"
        return Verdict(check, "fail", value, threshold, reason)
    if missing:
        reason += f"; no valid value at {', '.join(missing)}"
        return Verdict(check, "undefined", value, threshold, reason)
    return Verdict(check, "pass", value, threshold, reason)


def _unfitted(found: pd.DataFrame, alpha: float) -> str:
    """At which depths the credit bridge's estimator is not fitted, for a reason."""
    own = pick(found, rule="credit_bridge", alpha=alpha)
    means = own.groupby("depth")["fit"].mean()
    return not_fitted({f"L={depth}": float(fit) for depth, fit in means.items()})


def _noted(verdict: Verdict, note: str, label: str = "") -> Verdict:
    """The verdict with a note in its reason and, if it passes, a label."""
    if not note or verdict.value is None:
        return verdict
    if not label or verdict.status != "pass":
        return replace(verdict, reason=verdict.reason + note)
    return replace(verdict, reason=f"{label}: {verdict.reason}{note}", label=label)


def _kinds(name: str, depth: int) -> list[tuple[str, str]]:
    """The columns that a statement on a quantity judges at a depth, and how a reason names them."""
    inner = [("gamma_inner", f"L={depth} (l < L)")] if name == "gamma" and depth > 1 else []
    return [(name, f"L={depth}"), *inner]


def _depths(grid: pd.DataFrame, alpha: float, rule: str) -> list[int]:
    """The depths at which the experiment has this rule."""
    return sorted(int(depth) for depth in pick(grid, alpha=alpha, rule=rule)["depth"].unique())


def _sample(found: pd.DataFrame, column: str, **place: Any) -> dict[int, float]:
    """The valid values of a cell, by seed."""
    own = pick(found, **place).dropna(subset=[column])
    return dict(zip(own["seed"].astype(int), own[column].astype(float), strict=True))


def _cell(label: str, own: dict[int, float], sign: str = "") -> _Cell:
    if not own:
        return _Cell(label, "missing", math.nan)
    mean = fmean(own.values())
    return _Cell(label, f"{mean:{sign}.3f}{_spread(list(own.values()))}", mean)


def _spread(column: list[float]) -> str:
    """The sample sd, where there is one, and n: " ± 0.004 (n=3)"."""
    sd = f" ± {pd.Series(column).std(ddof=1):.3f}" if len(column) > 1 else ""
    return f"{sd} (n={len(column)})"


def _listed(cells: list[_Cell]) -> str:
    return "; ".join(f"{cell.name} {cell.text}" for cell in cells)
