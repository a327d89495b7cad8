"""Claims on the matched controls: is it the depth, the parameters, the embedding or the scale?"""

from collections.abc import Iterable

import pandas as pd

from credit.analysis import controls_checks
from credit.analysis.controls import FULL, PENALTY, RANDOM, SHALLOW, with_controls
from credit.analysis.selection import finished, in_order, metric, pick
from credit.analysis.story_claim import (
    FAILS,
    HOLDS,
    POINTS,
    UNDECIDED,
    Claim,
    Limit,
    Point,
    Want,
    claim,
    difference,
    outcome,
    single,
)
from credit.network_size import SIZES


def matched(runs: pd.DataFrame) -> list[Claim]:
    """What is left of a rule's gain from depth beside its controls?

    Raises:
        CreditError: as `controls_checks.verdicts`.
    """
    named, found = with_controls(runs), controls_checks.verdicts(runs)
    done = finished(named).copy()
    rules = in_order(pick(named, control=FULL)["rule"])
    local = [rule for rule in rules if rule != "bp"]
    margin = controls_checks.DEPTH

    def over(rule: str, control: str, kind: str = "", whose: str = "") -> Point:
        """k=L of a rule minus another of its cells, or of another rule's."""
        below = pick(done, rule=whose or rule, control=control)
        return difference(rule, pick(done, rule=rule, control=FULL), below, "accuracy", kind=kind)

    baselines = [
        over(rule, control, f"over {controls_checks.BASELINES[name]} embedding", whose)
        for rule in local
        for name in controls_checks.BASELINES
        for whose, control in [controls_checks.source(named, rule, name)]
    ]
    return [
        claim(
            "bp: depth, not parameters",
            (
                "Backprop in all blocks is 2 points or more above backprop in one wide block with "
                "as many parameters",
                "Backprop in all blocks is not 2 points above backprop in one wide block with as "
                "many parameters",
            ),
            outcome(found, [Want("k=L > shallow", "bp")]),
            [over("bp", SHALLOW)],
            POINTS,
            Limit(low=margin),
        ),
        claim(
            "local rules: depth, not parameters",
            (
                "Every local rule is in all blocks 2 points or more above itself in one wide block "
                "with as many parameters",
                "Not every local rule is in all blocks 2 points above itself in one wide block "
                "with as many parameters",
            ),
            outcome(found, [Want("k=L > shallow", rule) for rule in local]),
            [over(rule, SHALLOW) for rule in local],
            POINTS,
            Limit(low=margin),
        ),
        claim(
            "local rules: blocks, not the embedding",
            (
                "Every local rule gains 2 points or more from its blocks over frozen ones, whether "
                "the rule, bp or nothing trained the embedding below them",
                "Not every local rule gains 2 points from its blocks over frozen ones, whether the "
                "rule, bp or nothing trained the embedding below them",
            ),
            outcome(found, [Want("D3 together", rule) for rule in local]),
            baselines,
            POINTS,
            Limit(low=margin),
        ),
        claim(
            "the penalty helps local rules",
            (
                "The residual-branch penalty, which holds the scale and not the direction, is "
                "worth 2 points or more to every local rule",
                "The residual-branch penalty is not worth 2 points to every local rule",
            ),
            _rises(found, local),
            [
                difference(
                    rule,
                    *(pick(done, rule=rule, control=control) for control in (PENALTY, FULL)),
                    "accuracy",
                )
                for rule in local
            ],
            POINTS,
            Limit(low=controls_checks.SAME),
        ),
        claim(
            "random labels teach nothing",
            (
                "Trained on random labels every rule stays within 2 points of chance on the test "
                "set, on every seed: the bench leaks none",
                "Trained on random labels not every rule stays within 2 points of chance on the "
                "test set",
            ),
            outcome(found, [Want("random labels", rule) for rule in rules]),
            [
                single(rule, pick(done, rule=rule, control=RANDOM), "accuracy/test", _above_chance)
                for rule in rules
            ],
            POINTS._replace(axis="points of test accuracy above chance"),
            Limit(-controls_checks.CHANCE, controls_checks.CHANCE),
        ),
    ]


def _rises(found: list[dict], rules: Iterable[str]) -> tuple[str, str]:
    """Whether the penalty raises each rule's accuracy: its check passes already if none falls."""
    own = [v for v in found if v["check"] == "penalty" and v["rule"] in set(rules)]
    open_ = [str(v["reason"]) for v in own if v["status"] == "undefined"]
    if any(v["label"] != "rises" for v in own if v["status"] != "undefined"):
        return FAILS, ""
    if open_ or not own:
        return UNDECIDED, "; ".join(dict.fromkeys(open_)) or "no local rule was run"
    return HOLDS, ""


def _above_chance(runs: pd.DataFrame, key: str) -> list[float]:
    dataset = str(runs["dataset"].iloc[0])
    chance = 1 / SIZES[dataset].classes if dataset in SIZES else float("nan")
    return [round(value - chance, 12) for value in metric(runs, key)]
