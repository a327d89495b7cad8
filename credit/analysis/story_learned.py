"""Claims on learned credit: the synthetic ladder, frozen networks, and networks that train."""

import itertools
import math

import pandas as pd

from credit import audit
from credit.analysis import (
    cells,
    frozen,
    frozen_checks,
    nonlinearity_checks,
    online,
    online_checks,
)
from credit.analysis.cells import QUANTITIES, directions, not_fitted
from credit.analysis.online_staleness import KINDS, LOST, column
from credit.analysis.selection import finished, pick
from credit.analysis.story_claim import (
    FAILS,
    HOLDS,
    POINTS,
    UNDECIDED,
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
from credit.analysis.wording import short

_ALPHA = 1.0
_GAMMA = Unit("difference of Γ")
_LEAD = Unit("lead over dfa of the same seed")
_S1 = ("s1", "s1_inner")
_PERCENT_LOST = Unit("share of Γ that is lost, %", 100, ".0f", " %")


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
            "synthetic: dfa has no direction",
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
        falls("state_bridge", "synthetic: the state bridge falls with depth", "the state bridge"),
        falls(
            "credit_bridge", "synthetic: the credit bridge falls with depth", "the credit bridge"
        ),
        claim(
            "synthetic: the credit bridge leads the state bridge",
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
            "synthetic: the vector field is far above both",
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
    clear, sizes, steps = [], [], []
    places = frozen.networks(named)
    for width, depth in places:
        here = pick(named, width=width, depth=depth)
        where = str(here["network"].iloc[0]) if len(places) > 1 else ""
        arms = frozen.in_order(here["arm"])
        base = pick(here, arm="dfa")
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
            "frozen: estimators find the gradient",
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
        claim(
            "frozen: dfa has no direction",
            (
                "There dfa has no direction: mean sizes of its Γ and ρ are below .05",
                "There dfa has a direction: a mean size of its Γ or ρ is .05 or more",
            ),
            outcome(found, [Want("dfa near 0", "dfa")]),
            sizes,
            Unit("size of Γ and ρ of dfa", 1, ".3f"),
            Limit(high=frozen_checks.NEAR_ZERO),
        ),
        claim(
            "frozen: field, state bridge, eT, deltaL in this order",
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


def moving(runs: pd.DataFrame) -> list[Claim]:
    """The same estimators while the network trains on their credit.

    Args:
        runs: of `online_staleness.with_staleness`.

    Raises:
        CreditError: as `online.with_cells`.
    """
    named, found = online.with_cells(runs), online_checks.verdicts(runs)
    learned = [cell for cell in online.cells_of(named) if cell.arm != online.BASELINE]
    named = finished(named).copy()  # one block of memory, from which rows are taken fast
    field = [cell for cell in learned if cell.arm == "vector_field"]
    told = [c for c in learned if c.arm == "credit_eT" and c.warmup == online_checks.WARMUP]
    kinds = list(zip(directions(int(named["depth"].iloc[0])), KINDS, strict=False))
    stale = [
        _of(named, cell, (column(LOST, end),), QUANTITIES[kind])
        for kind, end in kinds
        for cell in field
    ]
    return [
        _none_clear(
            named,
            learned,
            "Γ (S1)",
            "online: no estimator is clear of dfa in Γ",
            ("s1", "s1_inner"),
        ),
        _none_clear(named, learned, "ρ (S2)", "online: no estimator is clear of dfa in ρ", ("s2",)),
        _none_clear(
            named, learned, "test accuracy", "online: no estimator is more accurate", ("gain",)
        ),
        claim(
            "online: the vector field is behind dfa",
            (
                "The vector field, the best on a frozen network, is behind dfa in Γ in every cell "
                "and on every seed",
                "The vector field, the best on a frozen network, is not behind dfa in Γ in every "
                "cell and on every seed",
            ),
            outcome(found, [Want("S1 < 0", "vector_field")]),
            _leads(named, field),
            _LEAD,
            Limit(high=0.0),
        ),
        claim(
            "online: eT is ahead of dfa after a long warm-up",
            (
                f"The credit bridge told eT, after a warm-up of {online_checks.WARMUP:g}, is ahead "
                "of dfa in Γ at every weight and on every seed",
                f"The credit bridge told eT, after a warm-up of {online_checks.WARMUP:g}, is not "
                "ahead of dfa in Γ at every weight and on every seed",
            ),
            outcome(found, [Want("eT S1 > 0", "credit_bridge")]),
            _leads(named, told),
            _LEAD,
            Limit(low=0.0),
        ),
        claim(
            "online: the field goes stale within an epoch",
            (
                "Without learning, the vector field loses more than a fifth of its Γ within one "
                "epoch, in every cell",
                "Without learning, the vector field does not lose a fifth of its Γ within one "
                "epoch in every cell",
            ),
            outcome(found, [Want("stale", "vector_field")]),
            stale,
            _PERCENT_LOST,
            Limit(low=online_checks.STALE),
        ),
    ]


def _none_clear(
    named: pd.DataFrame, found: list[online.Cell], what: str, name: str, leads: tuple[str, ...]
) -> Claim:
    """That no cell is clear of dfa, on every seed; shown are each arm's cells that come nearest.

    Args:
        leads: columns of `online.with_cells`; the smallest of them counts.
    """
    points = leads == ("gain",)
    unit, bound = (POINTS, audit.DEPTH_MARGIN) if points else (_LEAD, frozen_checks.CLEAR)
    least = "the smaller of l ≥ 1 and l < L" if len(leads) > 1 else ""
    best: dict[str, tuple[float, Point]] = {}
    clear, empty = [], []
    for cell in found:
        point = _of(named, cell, leads)
        if not point.values:
            empty.append(str(cell))
            continue
        lowest = min(point.values.values())
        clear += [str(cell)] * (lowest >= bound)
        if cell.arm not in best or lowest > best[cell.arm][0]:
            best[cell.arm] = (lowest, point)
    if clear:
        status = FAILS, ""
    elif empty or not found:
        status = UNDECIDED, f"no valid lead of {', '.join(empty) or 'an estimator'}"
    else:
        status = HOLDS, ""
    margin, cells_text = unit.text(bound).lstrip("+"), f"{len(found)} cells"
    chosen = "shown is each one's cell that is furthest ahead"
    return claim(
        name,
        (
            f"While the network trains no estimator is {margin} or more ahead of dfa in {what}, in "
            f"none of {cells_text}; {chosen}",
            f"While the network trains an estimator is {margin} or more ahead of dfa in {what}, in "
            f"{len(clear)} of {cells_text}; {chosen}, chosen on test samples and so biased upwards",
        ),
        status,
        [point for _, point in best.values()],
        unit._replace(axis="; ".join(filter(None, (f"lead over dfa in {what}", least)))),
        Limit(high=bound),
        _same_warmups(named),
    )


def _same_warmups(named: pd.DataFrame) -> str:
    """A sentence on warm-ups that come to the same number of epochs, or ""."""
    learned = named.loc[named["arm"] != online.BASELINE, ["warmup_ratio", "epochs"]]
    by_epochs: dict[tuple[int, int], set[float]] = {}
    for ratio, epochs in learned.drop_duplicates().itertuples(index=False):
        by_epochs.setdefault((round(ratio * epochs), int(epochs)), set()).add(float(ratio))
    parts = [
        f"warm-ups {' and '.join(f'{ratio:g}' for ratio in sorted(own))} of {epochs} epochs are "
        f"{warm} epochs alike, so that their cells repeat each other"
        for (warm, epochs), own in by_epochs.items()
        if len(own) > 1
    ]
    return f"{'; '.join(parts).capitalize()}." if parts else ""


def _leads(named: pd.DataFrame, found: list[online.Cell]) -> list[Point]:
    """S1 of cells, of all layers and below h_L."""
    kinds = {"s1": QUANTITIES["alignment"], "s1_inner": QUANTITIES["alignment_inner"]}
    return [_of(named, c, (lead,), kind) for lead, kind in kinds.items() for c in found]


def _of(named: pd.DataFrame, cell: online.Cell, names: tuple[str, ...], kind: str = "") -> Point:
    """The smallest of some columns of a cell's runs, by seed, where all are valid."""
    own = pick(named, cell=str(cell))
    rows = own.set_index("seed")[list(names)].dropna().min(axis=1)
    weight = "" if math.isnan(cell.tgw) else f"tgw {cell.tgw:g}"
    label = " ".join(filter(None, (cell.arm, f"warm-up {cell.warmup:g}")))
    base = pick(named, rule=online.BASELINE)
    base = base.loc[base["seed"].isin(own["seed"])]
    runs = ids(own, base) if names[0] in online.LEADS else ids(own)
    values = {int(seed): float(value) for seed, value in rows.items()}
    return Point(label, dict(sorted(values.items())), runs, kind, weight)


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
