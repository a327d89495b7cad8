"""Claims on methods: what each is worth in a deep network, and what of it is scale."""

import pandas as pd

from credit.analysis import comparison_checks, credit_scale_checks
from credit.analysis.cells import leads, paired
from credit.analysis.comparison import fully_trained
from credit.analysis.cost import METRICS
from credit.analysis.credit_scale_reported import PUBLISHED_EPS, RULES, published_setting
from credit.analysis.selection import finished, in_order, metric, pick
from credit.analysis.story_claim import (
    PERCENT,
    POINTS,
    Claim,
    Limit,
    Point,
    Unit,
    Want,
    claim,
    difference,
    ids,
    of_cell,
    outcome,
    share,
    value_of,
)
from credit.analysis.wording import LEARNED

_TIMES = Unit("FLOPs of a step, as a multiple of bp's", 1, ".2f", "×")


def methods(runs: pd.DataFrame) -> list[Claim]:
    """What is each rule's credit worth in one deep network, and what does it cost?

    Args:
        runs: of `cost.with_costs`.

    Raises:
        CreditError: as `comparison_checks.verdicts`.
    """
    full, found = fully_trained(runs), comparison_checks.verdicts(runs)
    rules = [rule for rule in in_order(full["rule"]) if rule not in comparison_checks.CEILINGS]
    learned = [rule for rule in rules if rule in LEARNED]
    done = finished(full)
    cells = {rule: pick(done, rule=rule) for rule in in_order(full["rule"])}
    none = done.iloc[:0]
    bp, depth = cells.get("bp", none), "/".join(map(str, sorted(full["depth"].unique())))
    equal, far = comparison_checks.EQUAL, comparison_checks.FAR
    return [
        claim(
            f"bp is far ahead at L={depth}",
            (
                f"At L={depth} backprop is 10 points or more above every local rule with credit of "
                "its own, on every seed",
                f"At L={depth} backprop is not 10 points above every such rule on every seed",
            ),
            outcome(found, [Want("bp far ahead", rule) for rule in rules]),
            [difference(f"bp − {rule}", bp, cells[rule], "accuracy") for rule in rules],
            POINTS,
            Limit(low=far),
        ),
        claim(
            "credit bridge is worth what dfa is",
            (
                "The credit bridge's accuracy is within 2 points of dfa's",
                "The credit bridge's accuracy is not within 2 points of dfa's",
            ),
            outcome(found, [Want("equals dfa", "credit_bridge")]),
            [
                difference(
                    "credit_bridge − dfa",
                    *(cells.get(rule, none) for rule in ("credit_bridge", "dfa")),
                    "accuracy",
                )
            ],
            POINTS,
            Limit(-equal, equal),
        ),
        claim(
            "the state bridge is last",
            (
                "The state bridge has the lowest accuracy of all rules, on every seed",
                "The state bridge does not have the lowest accuracy on every seed",
            ),
            outcome(found, [Want("last", "state_bridge")]),
            _behind(cells, "state_bridge"),
            POINTS,
            Limit(high=0.0),
        ),
        claim(
            "learned credit does not pay",
            (
                "Each learned rule is dominated by backprop: a step takes no fewer FLOPs, and "
                "accuracy is more than 2 points lower",
                "Not every learned rule is dominated by backprop, with no fewer FLOPs for an "
                "accuracy more than 2 points lower",
            ),
            outcome(found, [Want("cost", rule, "fail") for rule in learned]),
            [_ratio(rule, cells[rule], bp) for rule in learned],
            _TIMES,
            Limit(low=1.0),
        ),
    ]


def scale(runs: pd.DataFrame) -> list[Claim]:
    """How much of fa's lead over dfa is its direction, how much the brake on its credit?

    Raises:
        CreditError: as `credit_scale_checks.verdicts`.
    """
    found, (fa, dfa) = credit_scale_checks.verdicts(runs), RULES
    done, own = finished(runs), {rule: published_setting(rule) for rule in RULES}
    braked, free = (
        difference("fa − dfa", *(cells[rule].of(done, rule) for rule in RULES), "accuracy")
        for cells in (own, {rule: own[rule]._replace(eps=0.0) for rule in RULES})
    )
    same, name = credit_scale_checks.SAME, f"eps {PUBLISHED_EPS:g} - 0"
    hangs = difference(
        f"eps {PUBLISHED_EPS:g} − 0",
        *(own[fa]._replace(eps=eps).of(done, fa) for eps in (own[fa].eps, 0.0)),
        "accuracy",
    )
    left = share("left at eps 0", free, braked, value_of(found, "share of the lead", fa))
    return [
        claim(
            "fa leads dfa",
            (
                f"Each with its published scale of credit, {fa} is 2 points or more above {dfa}",
                f"Each with its published scale of credit, {fa} is not 2 points above {dfa}",
            ),
            outcome(found, [Want("lead", fa)]),
            [braked],
            POINTS,
            Limit(low=credit_scale_checks.LEAD),
        ),
        claim(
            "the lead is mostly the brake",
            (
                "Less than half of that lead is left with credit_eps = 0, where no credit is "
                "braked: most of it is an effect of scale",
                "Half or more of that lead is left with credit_eps = 0, where no credit is braked: "
                "most of it is direction",
            ),
            outcome(found, [Want("share of the lead", fa, "fail")]),
            [left],
            PERCENT._replace(axis="share of the lead, %"),
            Limit(high=credit_scale_checks.HALF),
        ),
        claim(
            "fa's accuracy hangs on the brake",
            (
                "With the published credit_eps instead of 0, fa's accuracy is 2 points or more "
                "away",
                "With the published credit_eps instead of 0, fa's accuracy is less than 2 points "
                "away",
            ),
            outcome(found, [Want(name, fa, "fail")]),
            [hangs],
            POINTS,
            Limit(-same, same, inside=False),
        ),
    ]


def _behind(cells: dict[str, pd.DataFrame], rule: str) -> list[Point]:
    """A rule's accuracy minus the lowest of the others, by seed; none where it was not run."""
    if rule not in cells or len(cells) < 2:
        return []
    others = [who for who in cells if who != rule]
    own, *rest = (of_cell(cells[who], "accuracy") for who in (rule, *others))
    seeds = sorted(set(own).intersection(*rest))
    gaps = [-gap for gap in _least(own, rest, seeds)] if seeds else []
    found = dict(zip(seeds, gaps, strict=True))
    return [Point(rule, found, ids(*cells.values()), detail="− the lowest other")]


def _least(own: dict[int, float], rest: list[dict[int, float]], seeds: list[int]) -> list[float]:
    chosen = [{seed: -values[seed] for seed in seeds} for values in (own, *rest)]
    return leads(*paired(chosen))


def _ratio(rule: str, runs: pd.DataFrame, bp: pd.DataFrame) -> Point:
    """What a step costs in units of bp's, by seed."""
    ours, theirs = (of_cell(own, METRICS["flops"], metric) for own in (runs, bp))
    own = {s: v / theirs[s] for s, v in ours.items() if theirs.get(s, 0) > 0}
    return Point(rule, own, ids(runs, bp))
