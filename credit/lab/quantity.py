"""Every measured number of the bench: where it is logged, how it is written, what it means.

One entry serves tables, figures, checks and the glossary of a report.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

VALID = "valid/reference"
"""Metric of every measurement: 1 where the exact gradient can be compared with, else 0. That is
where g_L agrees with what float64 finds; of runs measured before agreement was, where ‖g_L‖ is
above the floor of D2."""


@dataclass(frozen=True)
class Quantity:
    """A number that a run has."""

    name: str
    """Column of `table.csv`, beside `name_sd` and `name_n`."""
    metric: str
    """Metric of the tracking store; `{L}` stands for the run's depth and `{M}` for half of it, as
    in `grad_norm/h{L}`."""
    symbol: str
    """In tables, figures and verdicts."""
    meaning: str
    """In the glossary."""
    form: str = ".3f"
    scale: float = 1.0
    """Shown values are the stored ones times this: accuracies in points are times 100."""
    unit: str = ""
    over: str = "mean"
    """How runs that differ in their seed make one number: mean (with sample sd and n), median, max,
    min, sum, or same (a count that is the same on every seed)."""
    log: bool = False
    """Whether its axis is logarithmic."""
    of: Callable[[pd.DataFrame], pd.Series] | None = None
    """Computes it from the columns of the runs, where it is no metric of its own."""
    axis: str = ""
    """Unit or kind, in brackets after the symbol at an axis."""
    words: tuple[str, ...] = ()
    """Said in place of 0, 1, ..."""
    nothing: str = ""
    """Said in place of a value that is not above 0."""
    judged: bool = False
    """Whether it is no number where VALID is 0: it compares losses, and below the floor of runs
    measured before agreement was they may differ by rounding alone."""

    def key(self, depth: int) -> str:
        """Return the metric of a run with so many blocks."""
        return self.metric.format(L=f"{depth:02d}", M=f"{depth // 2:02d}")

    def values(self, runs: pd.DataFrame) -> pd.Series:
        """Return one value per run of `Reader.runs`, nan where it was not measured or not valid."""
        found = self.of(runs) if self.of else _mean(runs, lambda depth: [self.key(depth)])
        if self.judged and VALID in runs:
            found = found.where(runs[VALID] != 0)
        return found.astype(float)

    def text(self, value: float | None, sign: str = "") -> str:
        """Return a value as people read it: ".615", with a sign "+.615"; "" for no number."""
        if value is None or math.isnan(value):
            return ""
        if self.nothing and value <= 0:
            return self.nothing
        if self.words:
            return self.words[round(value)]
        if self.unit == "si":
            return si(value)
        shown = f"{self.scale * value:{sign}{self.form}}"
        short = self.form.endswith("f") and abs(self.scale * value) < 1
        return (shown.replace("0.", ".", 1) if short else shown) + self.unit

    @property
    def points(self) -> "Quantity":
        """The same as a difference in points, of a hundred: for gaps between accuracies."""
        return replace(self, form=".1f", scale=100.0, unit=" points")


def si(value: float) -> str:
    """Return a number to three digits with an SI prefix: 3.2e9 is "3.2 G"."""
    if not math.isfinite(value):
        return ""
    size = abs(float(f"{value:.2e}"))  # rounded first: 999.9 is 1 k
    power = min(int(math.log10(size) // 3), len(_PREFIXES) - 1) if size >= 1000 else 0
    return f"{value / 1000**power:.3g} {_PREFIXES[power]}".strip()


_PREFIXES = ("", "k", "M", "G", "T", "P", "E")


def _mean(runs: pd.DataFrame, keys_of: Callable[[int], list[str]]) -> pd.Series:
    """Return the mean over the metrics that a run of its depth has, where all of them are valid."""
    found = pd.Series(math.nan, index=runs.index)
    for depth in runs["depth"].unique():
        keys, rows = keys_of(depth), runs["depth"] == depth
        if set(keys) <= set(runs):
            found[rows] = runs.loc[rows, keys].astype(float).mean(axis=1, skipna=False)
    return found


def _deep(name: str) -> Callable[[pd.DataFrame], pd.Series]:
    """Return what computes the mean of a metric over h_1 … h_L."""
    return lambda runs: _mean(
        runs, lambda depth: [f"{name}/h{layer:02d}" for layer in range(1, depth + 1)]
    )


_FITS = ("estimator/directional", "estimator/gradient", "estimator/loss")
"""Shares that an estimator misses of its target, the nearest to the credit first: a rule logs the
first of these that it has."""


ACCURACY = Quantity(
    "accuracy",
    "accuracy/test",
    "test accuracy",
    "fraction of the test set, at the last epoch",
    axis="fraction",
)
TRAIN_ACCURACY = Quantity(
    "train_accuracy",
    "accuracy/train",
    "train accuracy",
    "fraction of the samples of an epoch",
    axis="fraction",
)
GAMMA = Quantity(
    "alignment",
    "alignment/deep",
    "Γ",
    "cosine of the credit a_l and the exact gradient g_l, mean over samples and h_1 … h_L",
    axis="mean cosine",
)
GAMMA_INNER = Quantity(
    "alignment_inner",
    "alignment/deep_inner",
    "Γ, l < L",
    "Γ without h_L: mean over 1 ≤ l < L",
    axis="mean cosine",
)
GAMMA_MIDDLE = Quantity(
    "alignment_middle", "alignment/h{M}", "Γ at h_L/2", "Γ of the layer in the middle"
)
RHO = Quantity(
    "rho",
    "rho/deep",
    "ρ",
    "correlation of the loss changes that a_l predicts with those measured, mean over h_1 … h_L",
    judged=True,
    axis="correlation",
)
NUDGE = Quantity(
    "nudge",
    "nudge/h01",
    "nudge",
    "loss change when h_l moves a little against a_l, mean over h_1 … h_L; negative is good",
    form=".2g",
    of=_deep("nudge"),
    judged=True,
)
RHO_RELATIVE = replace(
    RHO,
    name="rho_relative",
    metric="rho_relative/deep",
    symbol="ρ, relative ε",
    meaning="ρ with steps that are the same share of ‖h_l‖ in every network",
)
NUDGE_RELATIVE = replace(
    NUDGE,
    name="nudge_relative",
    metric="nudge_relative/h01",
    symbol="nudge, relative η",
    meaning="nudge with steps that are the same share of ‖h_l‖ in every network",
    of=_deep("nudge_relative"),
)
COPY = Quantity(
    "copy",
    "copy/deep",
    "Γ of g_L passed back",
    "Γ of the output's own gradient passed back unchanged, which every local rule has",
)
COPY_INNER = Quantity(
    "copy_inner", "copy/deep_inner", "Γ of g_L passed back, l < L", "the same without h_L"
)
BEYOND_COPY = Quantity(
    "beyond_copy",
    "",
    "Γ above that of g_L",
    "Γ minus that of the output's own gradient g_L passed back unchanged, both without h_L",
    of=lambda runs: GAMMA_INNER.values(runs) - COPY_INNER.values(runs),
    axis="l < L",
)
VALID_SEEDS = Quantity(
    "valid",
    VALID,
    "valid reference",
    "seeds at which float64 finds the same gradient at h_L, so that Γ is a number; of runs that "
    "were measured before: at which it is above the floor of D2",
    ".0f",
    over="sum",
)
FIT = Quantity(
    "fit",
    "estimator/loss",
    "fit",
    "share of its target that an estimator misses: squared error over the target's mean square",
    of=lambda runs: runs.reindex(columns=_FITS).astype(float).bfill(axis=1).iloc[:, 0],
)
GROWTH = Quantity(
    "growth",
    "growth/max",
    "growth",
    "largest ‖h_{l+1}‖ / ‖h_l‖ of a block",
    ".3g",
    over="max",
    axis="factor per block",
)
_NORM: dict[str, Any] = {"log": True, "axis": "median"}
_MEDIAN: dict[str, Any] = {**_NORM, "over": "median"}
TRANSPORT = Quantity(
    "transport",
    "transport/level",
    "transport",
    "what the credit takes: nothing of the weights, their signs, the weights, or the gradient",
    over="max",
    words=("none", "signs", "weights", "gradient"),
)
HIDDEN = Quantity("hidden", "hidden_norm/h{L}", "‖h_L‖", "median norm of h_L", ".2g", **_MEDIAN)
GRADIENT = Quantity(
    "gradient", "grad_norm/h{L}", "‖g_L‖", "median norm of g_L per sample", ".3g", **_NORM
)
CREDIT = Quantity("credit", "credit_norm/h{L}", "‖a_L‖", "median norm of a_L", ".2g", **_MEDIAN)
SENSITIVITY = Quantity(
    "sensitivity",
    "sensitivity/h{L}",
    "‖h_L‖·‖g_L‖",
    "loss change per relative step along g_L, median: free of scale",
    ".3g",
    **_NORM,
)
AGREEMENT = Quantity(
    "agreement",
    "agreement/min",
    "agreement",
    "cosine of g_l with what float64 finds, median over samples, at the layer where it is least",
    ".5f",
    over="min",
)
AGREEMENT_MIDDLE = replace(
    AGREEMENT, name="agreement_middle", metric="agreement/h{M}", symbol="agreement at h_L/2"
)
_COUNT: dict[str, Any] = {"unit": "si", "over": "same"}
FLOPS = Quantity(
    "flops",
    "cost/flops_per_step",
    "FLOP per step",
    "matrix products of network, credit and estimator in a training step on a batch",
    **_COUNT,
    log=True,
)
EVALUATIONS = Quantity(
    "block_evaluations",
    "cost/block_evaluations",
    "block evaluations",
    "forward passes of blocks, per sample and step",
    ".3g",
    over="same",
)
ESTIMATOR_PARAMETERS = Quantity(
    "estimator_parameters",
    "cost/estimator_parameters",
    "estimator parameters",
    "numbers trained beside the network",
    **_COUNT,
)
SECONDS = Quantity(
    "seconds",
    "time/run_epoch_seconds",
    "s per run-epoch",
    "median time of an epoch, test set included, divided by the runs that trained together",
    ".3g",
)
COSTS = (FLOPS, EVALUATIONS, ESTIMATOR_PARAMETERS)
POINTS = (ACCURACY.points,)
"""Accuracy in points, in which gaps between accuracies are judged."""
DIRECTION = (GAMMA, GAMMA_INNER)
"""A direction is judged with and without h_L, where some rules are taught the exact gradient."""
