"""Settings of the credit scale experiment, and what others measured at some of them."""

from typing import NamedTuple

import pandas as pd

from credit.analysis import published
from credit.analysis.selection import pick
from credit.analysis.wording import short
from credit.spec import RunSpec

RULES = ("fa", "dfa")
PUBLISHED_EPS = RunSpec.credit_eps


class Setting(NamedTuple):
    """What the experiment varies, beside the rule."""

    reduction: str
    eps: float

    def __str__(self) -> str:
        return f"{self.reduction}, eps={self.eps:g}"

    def of(self, runs: pd.DataFrame, rule: str) -> pd.DataFrame:
        """The runs of a rule at this setting."""
        return pick(runs, rule=rule, credit_reduction=self.reduction, credit_eps=self.eps)


EARLIER = published.Configuration("cifar10", width=256, depth=4, epochs=40)
EARLIER_SOURCE = "measured before, with an independent plain implementation (40 epochs, n = 1)"
EARLIER_VALUES = {
    ("fa", "mean"): (0.379, 2e5),
    ("fa", "sum"): (0.297, 3e6),
    ("dfa", "sum"): (0.300, 6e7),
}
"""Test accuracy and order of magnitude of ‖h_L‖ at credit_eps 1e-6, k = 4, seed 42."""
REPORTED_HIDDEN = {"fa": 1e5, "dfa": published.DFA_SCALE["hidden_norm"]}
"""Order of magnitude of ‖h_L‖ after 100 epochs; reported by the experiment's authors."""


def published_setting(rule: str) -> Setting:
    """The setting of the reported runs of a rule."""
    return Setting(published.REDUCTION.get(rule, "mean"), PUBLISHED_EPS)


def comparable(runs: pd.DataFrame) -> bool:
    """Whether the runs follow the published recipe in all but credit_eps and the reduction."""
    recipe = [name for name in published.RECIPE if name != "credit_eps"]
    same = all(bool((runs[name] == getattr(RunSpec, name)).all()) for name in recipe)
    return same and bool((runs["k"] == runs["depth"]).all()) and not runs["penalty"].any()


def _place(runs: pd.DataFrame) -> published.Configuration:
    names = published.Configuration._fields
    return published.Configuration(*(runs[name].iloc[0] for name in names))


def reported(runs: pd.DataFrame, rule: str, setting: Setting) -> dict[str, float]:
    """What others measured at a setting: reported_accuracy, reported_sd, reported_hidden, or nan.

    Beside runs of the same recipe, configuration and length only.
    """
    place, nan = _place(runs), float("nan")
    found = (nan, nan, nan)
    if comparable(runs) and setting.eps == PUBLISHED_EPS:
        if place == EARLIER and (rule, setting.reduction) in EARLIER_VALUES:
            accuracy, hidden = EARLIER_VALUES[rule, setting.reduction]
            found = (accuracy, nan, hidden)
        elif place == published.AUDITED and setting == published_setting(rule):
            ladder = pick(published.reported_ladder(*place), rule=rule, k=place.depth)
            for row in ladder.to_dict("records"):
                hidden = REPORTED_HIDDEN.get(rule, nan)
                found = (row["reported_mean"], row["reported_sd"], hidden)
    return dict(zip(("reported_accuracy", "reported_sd", "reported_hidden"), found, strict=True))


def sources(runs: pd.DataFrame, table: pd.DataFrame) -> list[str]:
    """Where the reported values of a table come from, and what was measured at another length."""
    place = _place(runs)
    lines = [
        "kept: rms / (rms + eps) at h_L, the share of the credit's full length that norm leaves; "
        "sizes are medians over samples and seeds"
    ]
    if place == EARLIER and table["reported_accuracy"].notna().any():
        return [*lines, f"reported: {EARLIER_SOURCE}"]
    if table["reported_accuracy"].notna().any():
        lines.append(f"reported: {published.SOURCE.removeprefix('reported ')}")
    if place._replace(epochs=EARLIER.epochs) == EARLIER:
        known = ", ".join(
            f"{rule} {reduction} {short(accuracy)} with ‖h_L‖ {power(hidden)}"
            for (rule, reduction), (accuracy, hidden) in EARLIER_VALUES.items()
        )
        lines.append(f"{EARLIER_SOURCE}, so not the same training: {known}")
    return lines


def power(value: float) -> str:
    """A size with two digits: "2e+05"; empty where it is not valid."""
    return "" if pd.isna(value) else f"{value:.2g}"
