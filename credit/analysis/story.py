"""When does credit work: the experiments of one store as a story, claim by claim.

Of every kind of experiment one parent is told (`story_choice`); `chosen` names another one. A kind
without a finished run is named with what to type.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import pandas as pd

from credit.analysis import (
    comparison,
    controls,
    cost,
    frozen,
    online,
    online_staleness,
    selection,
    story_choice,
    story_controls,
    story_depth,
    story_learned,
    story_methods,
    story_online,
    story_trained,
)
from credit.analysis import published_nonlinearity as published
from credit.analysis.reduction import Difference, differences, words
from credit.analysis.selection import finished, in_order, pick
from credit.analysis.story_claim import MISSING, Claim
from credit.errors import CreditError
from credit.presets import PRESETS
from credit.tracking.reader import Reader


class Kind(NamedTuple):
    """How one kind of experiment is told."""

    question: str
    claims: Callable[[pd.DataFrame], list[Claim]]
    differences: Callable[[pd.DataFrame], list[Difference]]  # from the published runs


class Chapter(NamedTuple):
    """One experiment of the store, or that it is not there."""

    kind: str
    place: int
    question: str
    status: str  # "" or MISSING
    parent: str
    experiment: str  # MLflow's id of the experiment that the parent is in
    done: int
    total: int
    settings: str  # "published", or "REDUCED: ..."
    choice: str  # which other parents there are
    trouble: str  # why it cannot be told
    claims: tuple[Claim, ...]

    @property
    def command(self) -> str:
        """What to type for it."""
        others = ", ".join(name for name in PRESETS[self.kind] if name != "published")
        return f"python -m entrypoints.{self.kind}  (shorter: --preset {others})"


_LISTS = {"rules": ("rule", ""), "alphas": ("alpha", "α="), "depths": ("depth", "L=")}


def nonlinearity_differences(runs: pd.DataFrame) -> list[Difference]:
    """In what a nonlinearity ladder is not the published one."""
    preset = PRESETS["nonlinearity_ladder"]["published"]
    found = [
        Difference(text)
        for rule in in_order(runs["rule"])
        for text in published.departures(pick(runs, rule=rule))
    ]
    samples = {int(n) for n in runs["train_samples"]} - {int(preset["train_samples"])}
    found += [
        Difference(f"{n} samples for {preset['train_samples']}", n < int(preset["train_samples"]))
        for n in sorted(samples)
    ]
    done = finished(runs)
    for option, name, sign in (
        ("rules", "rule", ""),
        ("alphas", "alpha", "α="),
        ("depths", "depth", "L="),
    ):
        known = set(map(str, done[name])) | {f"{v:g}" for v in done[name] if name != "rule"}
        missing = [text for text in preset[option].split(",") if text not in known]
        found += [Difference(f"without {sign}{', '.join(missing)}", part=True)] if missing else []
    seeds, asked = done["seed"].nunique(), len(preset["seeds"].split(","))
    return [*found, *([Difference(f"{seeds} of {asked} seeds")] if seeds < asked else [])]


def _against(
    kind: str, prepare: Callable[[pd.DataFrame], pd.DataFrame] = lambda runs: runs
) -> Callable[[pd.DataFrame], list[Difference]]:
    return lambda runs: differences(kind, prepare(runs))


KINDS: dict[str, Kind] = {
    "ladder": Kind("does training more blocks help?", story_trained.ladder, _against("ladder")),
    "direction_quality": Kind(
        "where does dfa's credit point?", story_trained.direction, _against("direction_quality")
    ),
    "nonlinearity_ladder": Kind(
        "learned credit by depth, on made-up data",
        story_learned.nonlinear,
        nonlinearity_differences,
    ),
    "frozen_recovery": Kind(
        "do estimators find the gradient of a network that stands still?",
        story_learned.still,
        lambda runs: differences("frozen_recovery", *frozen.halves(frozen.with_arms(runs))),
    ),
    "online_scan": Kind(
        "and of one that trains on their credit?",
        story_online.moving,
        _against("online_scan", online.with_cells),
    ),
    "method_comparison": Kind(
        "what is each rule worth at L=12, and what does it cost?",
        story_methods.methods,
        _against("method_comparison", comparison.fully_trained),
    ),
    "depth_scan": Kind(
        "who gains as blocks are added?",
        story_depth.depths,
        _against("depth_scan", comparison.fully_trained),
    ),
    "matched_controls": Kind(
        "is it the depth, or parameters, embedding and scale?",
        story_controls.matched,
        _against("matched_controls", controls.with_controls),
    ),
    "credit_scale": Kind(
        "how much of fa's lead is the brake?", story_methods.scale, _against("credit_scale")
    ),
}
"""The chapters in order."""


def tell(reader: Reader, chosen: Mapping[str, str | None] | None = None) -> list[Chapter]:
    """Every chapter, from the store.

    Args:
        chosen: by kind, the id of the parent to tell instead; None leaves the choice.

    Raises:
        CreditError: a kind in `chosen` has no chapter, or an id there is not such an experiment.
    """
    chosen = chosen or {}
    for kind in chosen:
        if kind not in KINDS:
            raise CreditError(f"{kind!r} is not in the story: choose from {', '.join(KINDS)}")
    chapters = []
    for place, kind in enumerate(KINDS, start=1):
        parent, choice = choose(reader, kind, chosen.get(kind))
        if not parent:
            chapters.append(chapter(kind, place))
            continue
        experiment = str(reader.run(parent).info.experiment_id)
        runs = load(reader, kind, parent)
        chapters.append(chapter(kind, place, runs, parent, experiment, choice))
    return chapters


def choose(reader: Reader, kind: str, run_id: str | None = None) -> tuple[str, str]:
    """`story_choice.choose` of a kind of the story."""
    return story_choice.choose(reader, kind, KINDS[kind].differences, run_id)


_SIZES = ("dataset", "width", "epochs", "train_samples")


def choose_parent(reader: Reader, kind: str, run_id: str | None = None) -> str:
    """Return the parent run to show: `run_id`, or a published before a reduced before a quick one.

    Raises:
        CreditError: there is none, or `run_id` is not one.
    """

    def sizes(runs: pd.DataFrame) -> list[Difference]:  # of a kind that the story does not tell
        wanted = {name: PRESETS[kind]["published"].get(name) for name in _SIZES}
        return [
            Difference(n) for n, text in wanted.items() if text not in (None, *map(str, runs[n]))
        ]

    judge = KINDS[kind].differences if kind in KINDS else sizes
    chosen, _ = story_choice.choose(reader, kind, judge, run_id)
    return chosen or selection.choose_parent(reader, kind)


def load(reader: Reader, kind: str, parent: str) -> pd.DataFrame:
    """The runs of a parent, as the claims of its kind take them."""
    runs = reader.runs(parent=parent)
    if runs.empty:  # a parent that was just opened
        return runs
    if kind == "online_scan":
        return online_staleness.load(reader, runs)
    if kind in ("method_comparison", "depth_scan"):
        return cost.load(reader, runs)
    return runs


def chapter(
    kind: str,
    place: int = 1,
    runs: pd.DataFrame | None = None,
    parent: str = "",
    experiment: str = "",
    choice: str = "",
) -> Chapter:
    """One chapter, of the runs that `load` gives; without finished runs it is MISSING.

    What makes the runs unfit for their claims is told as `trouble`: the other chapters go on.
    """
    # a copy lies in one block of memory, from which rows are taken faster
    runs = pd.DataFrame() if runs is None else runs.copy()
    done = len(finished(runs)) if len(runs) else 0
    told = KINDS[kind]
    start = (kind, place, told.question)
    origin = (parent, experiment, done, len(runs))
    if not done:
        return Chapter(*start, MISSING, *origin, "", choice, "", ())
    try:
        settings, claims = words(told.differences(runs)), tuple(told.claims(runs))
    except CreditError as error:
        return Chapter(*start, "", *origin, "", choice, str(error), ())
    unfinished = f"{done} of {len(runs)} runs finished" if done < len(runs) else ""
    settings = "; ".join(filter(None, (settings, unfinished)))
    return Chapter(*start, "", *origin, settings, choice, "", claims)
