"""Claims on learned credit: the synthetic ladder, and networks that stand still."""

import itertools

import pandas as pd

from credit.analysis import (
    cells,
    copy_control,
    frozen,
    frozen_checks,
    nonlinearity_checks,
)
from credit.analysis.cells import QUANTITIES, directions, not_fitted
from credit.analysis.selection import finished, pick
from credit.analysis.story_claim import (
    Claim,
    Limit,
    Point,
    Unit,
    Want,
    claim,
    difference,
    ids,
    judged,
    of_cell,
    outcome,
    single,
)
from credit.analysis.story_copy import above_copy, copy_claim
from credit.analysis.wording import short

_ALPHA = 1.0
_GAMMA = Unit("difference of Γ")
_LEAD = Unit("lead over dfa of the same seed")


def nonlinear(runs: pd.DataFrame) -> list[Claim]:
    """Learned credit on made-up data: its direction by depth, where the blocks are bent (α = 1).

    Raises:
        CreditError: as `nonlinearity.values`.
    """
    found = [v for v in nonlinearity_checks.verdicts(runs) if v["quantity"] == "gamma"]
    done = finished(runs).copy()
    full = done.loc[done["k"] == done["depth"]]
    bent = pick(full, alpha=_ALPHA)
    depths = sorted(int(depth) for depth in bent["depth"].unique())
    pairs = list(itertools.pairwise(depths))
    course = f"from L={depths[0]} to {depths[-1]}" if depths else "over depth"
    note = _unfitted(bent)

    def falls(rule: str, name: str, says: str) -> Claim:
        own = pick(bent, rule=rule)
        steps = [
            difference(f"L={a} to {b}", pick(own, depth=b), pick(own, depth=a), kind, kind=symbol)
            for a, b in pairs
            for kind, symbol in _kinds(a)
        ]
        levels = [single(f"L={d}", pick(own, depth=d), "alignment") for d in depths]
        shown = " ".join(short(point.mean) for point in levels if point.values)
        places = " ".join(str(d) for d, point in zip(depths, levels, strict=True) if point.values)
        lead = f"Γ of {says}, {shown} at L = {places}," if shown else f"Γ of {says}"
        return claim(
            name,
            (f"{lead} falls at every step {course}", f"{lead} does not fall at every step"),
            outcome(found, [Want(f"falls Γ α={_ALPHA:g}", rule)]),
            steps,
            _GAMMA,
            Limit(high=0.0),
            note if rule == "credit_bridge" else "",
        )

    def ahead(rule: str, others: tuple[str, ...]) -> list[Point]:
        return [
            _best_of(f"L={d}", pick(bent, rule=rule, depth=d), rest, kind, symbol)
            for d in depths
            for rest in [[pick(bent, rule=who, depth=d) for who in others]]
            for kind, symbol in _kinds(d)
        ]

    near, far = nonlinearity_checks.NEAR_ZERO, nonlinearity_checks.FAR
    dfa = pick(full, rule="dfa")
    places = sorted({(float(a), int(d)) for a, d in zip(dfa["alpha"], dfa["depth"], strict=True)})
    return [
        claim(
            "dfa has no direction",
            (
                "On the synthetic task dfa's Γ is within .1 of 0 at every α and depth",
                "On the synthetic task dfa's Γ is not within .1 of 0 at every α and depth",
            ),
            outcome(found, [Want("near 0 Γ", "dfa")]),
            [
                single(f"α={a:g}", pick(dfa, alpha=a, depth=d), "alignment", detail=f"L={d}")
                for a, d in places
            ],
            Unit("Γ of dfa"),
            Limit(-near, near),
        ),
        falls("state_bridge", "the state bridge falls with depth", "the state bridge"),
        falls("credit_bridge", "the credit bridge falls with depth", "the credit bridge"),
        claim(
            "credit bridge leads state bridge",
            (
                "The credit bridge is ahead of the state bridge in Γ at every depth, on every seed",
                "The credit bridge is not ahead of the state bridge in Γ at every depth, on every "
                "seed",
            ),
            outcome(found, [Want(f"leads Γ α={_ALPHA:g}", "credit_bridge")]),
            ahead("credit_bridge", ("state_bridge",)),
            _GAMMA,
            Limit(low=0.0),
            note,
        ),
        claim(
            "the vector field is far above both",
            (
                "The vector field is more than .2 above both bridges in Γ at every depth, on every "
                "seed",
                "The vector field is not more than .2 above both bridges in Γ at every depth, on "
                "every seed",
            ),
            outcome(found, [Want("far above Γ", "vector_field")]),
            ahead("vector_field", ("state_bridge", "credit_bridge")),
            _GAMMA,
            Limit(low=far),
            note,
        ),
    ]


def still(runs: pd.DataFrame) -> list[Claim]:
    """Estimators on a network that stands still: do they find the gradient?

    Raises:
        CreditError: as `frozen.with_arms`.
    """
    named, found = finished(frozen.with_arms(runs)).copy(), frozen_checks.verdicts(runs)
    clear, sizes, steps, copied = [], [], [], []
    places = frozen.networks(named)
    learned = frozen_checks.estimators(named)
    for width, depth in places:
        here = pick(named, width=width, depth=depth)
        where = str(here["network"].iloc[0]) if len(places) > 1 else ""
        arms = frozen.in_order(here["arm"])
        base = pick(here, arm="dfa")
        taught = [arm for arm in arms if arm in learned]
        copied += [above_copy(arm, pick(here, arm=arm), detail=where) for arm in taught]
        for quantity in (*directions(depth), "rho"):
            more = {"kind": QUANTITIES[quantity], "detail": where}
            for arm in arms:
                if arm == "dfa":
                    sizes.append(single("dfa", base, quantity, _sizes, **more))
                    continue
                clear.append(difference(arm, pick(here, arm=arm), base, quantity, **more))
            for upper, lower in itertools.pairwise(frozen_checks.EXPECTED[:-1]):
                pair = [pick(here, arm=arm) for arm in (upper, lower)]
                if all(map(len, pair)):
                    label = f"{upper} − {lower}"
                    steps.append(difference(label, *pair, quantity, **more))
    order = [
        Want(f"{upper} > {lower}", _rule_of(upper))
        for upper, lower in itertools.pairwise(frozen_checks.EXPECTED[:-1])
    ]
    bound = Limit(low=frozen_checks.CLEAR)
    return [
        claim(
            "estimators find the gradient",
            (
                "On a network that stands still every estimator is .05 or more ahead of dfa, in Γ, "
                "in Γ below h_L and in ρ",
                "On a network that stands still not every estimator is .05 ahead of dfa in Γ, in Γ "
                "below h_L and in ρ",
            ),
            judged(clear, bound),
            clear,
            _LEAD,
            bound,
        ),
        copy_claim(
            "On a network that stands still",
            outcome(found, [Want(copy_control.check_of(a), _rule_of(a)) for a in learned]),
            copied,
        ),
        claim(
            "dfa has no direction",
            (
                "On a network that stands still dfa has no direction: mean sizes of its Γ and ρ "
                "are below .05",
                "On a network that stands still dfa has a direction: a mean size of its Γ or ρ is "
                ".05 or more",
            ),
            outcome(found, [Want("dfa near 0", "dfa")]),
            sizes,
            Unit("size of Γ and ρ of dfa", 1, ".3f"),
            Limit(high=frozen_checks.NEAR_ZERO),
        ),
        claim(
            "order: M4, state bridge, eT, deltaL",
            (
                "The estimators stand in the expected order, each .01 or more ahead of the next in "
                "Γ, in Γ below h_L and in ρ",
                "The estimators do not stand in the expected order, each .01 ahead of the next in "
                "Γ, in Γ below h_L and in ρ",
            ),
            outcome(found, order),
            steps,
            Unit("lead over the next one"),
            Limit(low=frozen_checks.STEP),
        ),
    ]


def _best_of(
    label: str, runs: pd.DataFrame, others: list[pd.DataFrame], quantity: str, kind: str
) -> Point:
    """By how much a cell is ahead of the best of others, on the seeds that all have."""
    own, *rest = (of_cell(cell, quantity) for cell in (runs, *others))
    seeds = sorted(set(own).intersection(*rest))
    gaps = cells.leads(*([found[seed] for seed in seeds] for found in (own, *rest)))
    return Point(label, dict(zip(seeds, gaps, strict=True)), ids(runs, *others), kind)


def _kinds(depth: int) -> list[tuple[str, str]]:
    """The alignments that a claim at a depth judges, and their symbols."""
    return [(kind, QUANTITIES[kind]) for kind in directions(depth)]


def _sizes(runs: pd.DataFrame, quantity: str) -> list[float]:
    return [abs(value) for value in cells.values(runs, quantity)]


def _rule_of(arm: str) -> str:
    if frozen.is_field(arm):
        return "vector_field"
    return "credit_bridge" if arm.startswith("credit_") else arm


def _unfitted(runs: pd.DataFrame) -> str:
    """A sentence on the depths at which the credit bridge's estimator is not fitted, or ""."""
    own = pick(runs, rule="credit_bridge")
    fits = {}
    for depth in sorted(own["depth"].unique()):
        fits[f"L={depth}"] = single("", pick(own, depth=depth), "fit").mean
    text = not_fitted(fits).removeprefix("; ")
    return f"But {text}." if text else ""
