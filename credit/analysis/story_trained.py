"""Claims on trained networks: depth ladder, direction, method comparison, credit scale."""

import math
from typing import Any

import pandas as pd

from credit import audit
from credit.analysis import comparison_checks, credit_scale_checks
from credit.analysis.audits import direction_verdicts, sample_floor, verdicts
from credit.analysis.cells import leads, paired
from credit.analysis.comparison import fully_trained
from credit.analysis.cost import METRICS
from credit.analysis.credit_scale_reported import PUBLISHED_EPS, RULES, published_setting
from credit.analysis.selection import configuration, finished, in_order, metric, pick
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
    single,
)
from credit.analysis.wording import LEARNED, short

_ORDERS = Unit("orders of magnitude of ‖g_L‖ above the floor", 1, "+.1f")
_COSINE = Unit("|cos| of credit and exact gradient", 1, ".3f")
_TIMES = Unit("FLOPs of a step, as a multiple of bp's", 1, ".2f", "×")


def ladder(runs: pd.DataFrame) -> list[Claim]:
    """Does training more blocks raise accuracy, and which share of the oracle's gain is that?

    Raises:
        CreditError: as `audits.verdicts`.
    """
    depth = int(configuration(runs)["depth"])
    found, done, margin = verdicts(runs), finished(runs), audit.DEPTH_MARGIN

    def gain(rule: str) -> Point:
        own = pick(done, rule=rule)
        return difference(rule, pick(own, k=depth), pick(own, k=0), "accuracy")

    def depth_claim(
        name: str, rules: tuple[str, ...], says: tuple[str, str], want: str = "pass"
    ) -> Claim:
        limit = Limit(low=margin) if want == "pass" else Limit(high=margin)
        status = outcome(found, [Want("D3", rule, want) for rule in rules])
        return claim(name, says, status, map(gain, rules), POINTS, limit)

    def share_claim(rule: str, name: str, says: tuple[str, str], want: str) -> Claim:
        limit = Limit(low=0.0) if want == "pass" else Limit(high=0.0)
        status = outcome(found, [Want("oracle_share", rule, want)])
        point = _share(rule, gain(rule), gain("oracle"), _value(found, "oracle_share", rule))
        note = _low_bar(done, depth)
        return claim(name, says, status, [point], PERCENT, limit, note)

    trained = f"training all {depth} blocks rather than none"
    return [
        depth_claim(
            "exact gradients use depth",
            ("bp", "oracle"),
            (
                f"With exact gradients, end to end (bp) and through the local recipe (oracle), "
                f"{trained} raises accuracy by 2 points or more",
                f"Exact gradients do not both gain 2 points from {trained}",
            ),
        ),
        depth_claim(
            "fa uses depth",
            ("fa",),
            (
                f"Feedback alignment gains 2 points or more from {trained}",
                f"Feedback alignment does not gain 2 points from {trained}",
            ),
        ),
        depth_claim(
            "dfa does not use depth",
            ("dfa",),
            (
                f"Direct feedback alignment does not gain 2 points from {trained}",
                f"Direct feedback alignment gains 2 points or more from {trained}",
            ),
            "fail",
        ),
        share_claim(
            "fa",
            "fa recovers a part of the oracle's gain",
            (
                "Feedback alignment recovers a part of what the oracle gains",
                "Feedback alignment recovers nothing of what the oracle gains",
            ),
            "pass",
        ),
        share_claim(
            "dfa",
            "dfa recovers nothing of the oracle's gain",
            (
                "Direct feedback alignment recovers nothing of what the oracle gains",
                "Direct feedback alignment recovers a part of what the oracle gains",
            ),
            "fail",
        ),
    ]


def direction(runs: pd.DataFrame) -> list[Claim]:
    """Where does dfa's credit point, and is the gradient that it is compared with a valid one?

    Raises:
        CreditError: as `audits.direction_verdicts`.
    """
    config = configuration(runs, vary=("rule", "k", "seed", "penalty"))
    depth, floor, found = int(config["depth"]), sample_floor(config), direction_verdicts(runs)
    weights = sorted(weight for weight in runs["penalty"].unique() if weight > 0)
    weight = weights[-1] if weights else math.nan
    full = pick(finished(runs), rule="dfa", k=depth)
    bare, held = pick(full, penalty=0.0), pick(full, penalty=weight)

    def orders(own: pd.DataFrame, _: str) -> list[float]:
        norms = metric(own, f"grad_norm/h{depth:02d}")
        return [math.log10(norm / floor) if norm > 0 else math.nan for norm in norms]

    def sizes(own: pd.DataFrame, _: str) -> list[float]:
        return [abs(cosine) for cosine in metric(own, f"alignment/h{depth // 2:02d}")]

    middle, label = f"h_{depth // 2}", f"λ={weight:g}"
    word = next((v["label"] for v in found if v["check"] == "direction" and v["label"]), "")
    return [
        claim(
            "without the penalty dfa's reference is not valid",
            (
                "Without the branch penalty the exact gradient in dfa's network is below the "
                "floor, so that dfa's alignment there is no number",
                "Without the branch penalty the exact gradient in dfa's network is above the floor",
            ),
            outcome(found, [Want("D2", "dfa", "fail")], penalty=0.0),
            [single("λ=0", bare, "grad_norm", orders)],
            _ORDERS,
            Limit(high=0.0),
        ),
        claim(
            "with the penalty it is",
            (
                "With the branch penalty it is above the floor",
                "With the branch penalty, too, it is below the floor",
            ),
            outcome(found, [Want("D2", "dfa")], penalty=weight),
            [single(label, held, "grad_norm", orders)],
            _ORDERS,
            Limit(low=0.0),
        ),
        claim(
            "dfa's credit then has a direction",
            (
                f"There dfa's credit has a direction in the middle of the network, at {middle}",
                f"There dfa's credit has no direction in the middle of the network, at {middle}",
            ),
            outcome(found, [Want("direction", "dfa")], penalty=weight),
            [single(label, held, "alignment", sizes)],
            _COSINE,
            Limit(low=audit.POOR),
            f"The protocol's word for it is “{word}”." if word else "",
        ),
    ]


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
            "the credit bridge is worth what dfa is",
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
        f"eps {PUBLISHED_EPS:g} − eps 0",
        *(own[fa]._replace(eps=eps).of(done, fa) for eps in (own[fa].eps, 0.0)),
        "accuracy",
    )
    left = _share("left at eps 0", free, braked, _value(found, "share of the lead", fa))
    return [
        claim(
            "fa leads dfa",
            (
                f"As published, {fa} is 2 points or more above {dfa}",
                f"As published, {fa} is not 2 points above {dfa}",
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
            PERCENT,
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


def _value(found: list[dict[str, Any]], check: str, rule: str) -> float:
    """A verdict's number; nan where there is none."""
    own = [v["value"] for v in found if (v["check"], v["rule"]) == (check, rule)]
    return math.nan if not own or own[0] is None else float(own[0])


def _share(label: str, part: Point, whole: Point, value: float) -> Point:
    """A ratio of means (`value`), with the ratio of every seed on which it is a number."""
    least = audit.DEPTH_MARGIN
    both = {s: (v, whole.values[s]) for s, v in part.values.items() if s in whole.values}
    own = {s: mine / other for s, (mine, other) in both.items() if other >= least}
    return Point(label, own, tuple(dict.fromkeys(part.runs + whole.runs)), whole=value)


def _low_bar(done: pd.DataFrame, depth: int) -> str:
    """Says so where the oracle is better with fewer blocks, so that k = L is no ceiling."""
    means = pick(done, rule="oracle").groupby("k")["accuracy/test"].mean()
    if depth not in means or means.max() - means[depth] < audit.DEPTH_MARGIN:
        return ""
    best = means.idxmax()
    return (
        f"The share is flattering: the oracle itself has {short(means[best])} at k={best} but "
        f"{short(means[depth])} at k={depth}, where it is taken."
    )


def _behind(cells: dict[str, pd.DataFrame], rule: str) -> list[Point]:
    """A rule's accuracy minus the lowest of the others, by seed; none where it was not run."""
    if rule not in cells or len(cells) < 2:
        return []
    others = [who for who in cells if who != rule]
    own, *rest = (of_cell(cells[who], "accuracy") for who in (rule, *others))
    seeds = sorted(set(own).intersection(*rest))
    gaps = [-gap for gap in _least(own, rest, seeds)] if seeds else []
    label = f"{rule} − the lowest other"
    return [Point(label, dict(zip(seeds, gaps, strict=True)), ids(*cells.values()))]


def _least(own: dict[int, float], rest: list[dict[int, float]], seeds: list[int]) -> list[float]:
    chosen = [{seed: -values[seed] for seed in seeds} for values in (own, *rest)]
    return leads(*paired(chosen))


def _ratio(rule: str, runs: pd.DataFrame, bp: pd.DataFrame) -> Point:
    """What a step costs in units of bp's, by seed."""
    ours, theirs = (of_cell(own, METRICS["flops"], metric) for own in (runs, bp))
    own = {s: v / theirs[s] for s, v in ours.items() if theirs.get(s, 0) > 0}
    return Point(rule, own, ids(runs, bp))
