"""Claims on local rules without an estimator: depth ladder, direction."""

import math

import pandas as pd

from credit import audit
from credit.analysis.audits import direction_verdicts, sample_floor, verdicts
from credit.analysis.selection import ACCURACY, configuration, finished, metric, pick
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
    outcome,
    share,
    single,
    value_of,
)
from credit.analysis.wording import short

_ORDERS = Unit("orders of magnitude of ‖g_L‖ over the floor", 1, "+.1f", " orders")
_COSINE = Unit("|cos| of credit and exact gradient", 1, ".3f")


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
        point = share(rule, gain(rule), gain("oracle"), value_of(found, "oracle_share", rule))
        note = _low_bar(done, depth)
        return claim(
            name,
            says,
            status,
            [point],
            PERCENT._replace(axis="share of the oracle's gain, %"),
            limit,
            note,
        )

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
            "fa: a part of the oracle's gain",
            (
                "Feedback alignment recovers a part of what the oracle gains",
                "Feedback alignment recovers nothing of what the oracle gains",
            ),
            "pass",
        ),
        share_claim(
            "dfa",
            "dfa: nothing of the oracle's gain",
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
    place = {"check": "direction", "rule": "dfa", "penalty": weight}
    words = (v["label"] for v in found if all(v[key] == value for key, value in place.items()))
    word = next(words, "")
    return [
        claim(
            "no penalty: reference not valid",
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
            "penalty: reference valid",
            (
                "With the branch penalty the exact gradient in dfa's network is above the floor",
                "With the branch penalty the exact gradient in dfa's network is below the floor",
            ),
            outcome(found, [Want("D2", "dfa")], penalty=weight),
            [single(label, held, "grad_norm", orders)],
            _ORDERS,
            Limit(low=0.0),
        ),
        claim(
            "penalty: dfa has a direction",
            (
                f"With the penalty dfa's credit has a direction at its middle layer, {middle}",
                f"With the penalty dfa's credit has no direction at its middle layer, {middle}",
            ),
            outcome(found, [Want("direction", "dfa")], penalty=weight),
            [single(label, held, "alignment", sizes)],
            _COSINE,
            Limit(low=audit.POOR),
            f"The protocol's word for it is “{word}”." if word else "",
        ),
    ]


def _low_bar(done: pd.DataFrame, depth: int) -> str:
    """Says so where the oracle is better with fewer blocks, so that k = L is no ceiling."""
    own = pick(done, rule="oracle")
    means = {int(k): float(pick(own, k=k)[ACCURACY].mean()) for k in sorted(own["k"].unique())}
    best = max(means, key=lambda k: means[k], default=depth)
    if depth not in means or means[best] - means[depth] < audit.DEPTH_MARGIN:
        return ""
    return (
        f"The oracle itself has {short(means[best])} at k={best} but {short(means[depth])} at "
        f"k={depth}, where the share is taken: its gain there is a low bar."
    )
