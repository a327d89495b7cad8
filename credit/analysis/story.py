"""When does credit work: the experiments of one store as a story, claim by claim.

Of every kind of experiment the parent with the most finished runs is told, of equals the newest: a
run that was interrupted, or a small control that was made later, does not take the place of a whole
experiment. `chosen` names another one. A kind without a finished run is named with what to type.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import pandas as pd

from credit.analysis import (
    comparison,
    cost,
    frozen,
    online_staleness,
    story_learned,
    story_methods,
    story_online,
    story_trained,
)
from credit.analysis import published_nonlinearity as published
from credit.analysis.controls_wording import reduced
from credit.analysis.published_frozen import SEEDS
from credit.analysis.published_frozen import reduced as reduced_estimators
from credit.analysis.selection import choose_parent, finished, in_order, pick
from credit.analysis.story_claim import MISSING, Claim
from credit.errors import CreditError
from credit.presets import PRESETS
from credit.tracking.reader import Reader

_SHORT = 8  # characters of an id that are shown


class Kind(NamedTuple):
    """How one kind of experiment is told."""

    question: str
    claims: Callable[[pd.DataFrame], list[Claim]]
    settings: Callable[[pd.DataFrame], str]


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


def nonlinearity_settings(runs: pd.DataFrame) -> str:
    """In what a nonlinearity ladder is not the published one, or ""."""
    preset = PRESETS["nonlinearity_ladder"]["published"]
    parts = [
        text
        for rule in in_order(runs["rule"])
        for text in published.departures(pick(runs, rule=rule))
    ]
    samples = {int(n) for n in runs["train_samples"]} - {int(preset["train_samples"])}
    parts += [f"{n} samples for {preset['train_samples']}" for n in sorted(samples)]
    for name, heading in (("alphas", "α"), ("depths", "L")):
        known = {float(value) for value in runs[name.removesuffix("s")]}
        missing = [text for text in preset[name].split(",") if float(text) not in known]
        parts += [f"without {heading}={', '.join(missing)}"] if missing else []
    if (seeds := finished(runs)["seed"].nunique()) < SEEDS:
        parts.append(f"{seeds} of {SEEDS} seeds")
    return f"REDUCED: {', '.join(dict.fromkeys(parts))}" if parts else ""


def _methods_settings(runs: pd.DataFrame) -> str:
    less = comparison.reductions(runs)
    return f"REDUCED: {', '.join(less)}" if less else ""


def _frozen_settings(runs: pd.DataFrame) -> str:
    return reduced_estimators(frozen.with_arms(runs), SEEDS)


def _shape_settings(runs: pd.DataFrame) -> str:
    return reduced(runs).replace("reduced:", "REDUCED:")


KINDS: dict[str, Kind] = {
    "ladder": Kind("does training more blocks help?", story_trained.ladder, _shape_settings),
    "direction_quality": Kind(
        "where does dfa's credit point?", story_trained.direction, _shape_settings
    ),
    "nonlinearity_ladder": Kind(
        "learned credit by depth, on made-up data",
        story_learned.nonlinear,
        nonlinearity_settings,
    ),
    "frozen_recovery": Kind(
        "do estimators find the gradient of a network that stands still?",
        story_learned.still,
        _frozen_settings,
    ),
    "online_scan": Kind(
        "and of one that trains on their credit?", story_online.moving, reduced_estimators
    ),
    "method_comparison": Kind(
        "what is each rule worth at L=12, and what does it cost?",
        story_methods.methods,
        _methods_settings,
    ),
    "credit_scale": Kind(
        "how much of fa's lead is the brake?", story_methods.scale, _shape_settings
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
    """The parent to tell, "" for none, and a word on the others.

    Raises:
        CreditError: `run_id` is given and is not such an experiment.
    """
    parents = list(reader.parents(kind)["run_id"])
    if not parents and run_id is None:
        return "", ""
    counts = {parent: len(finished(reader.runs(parent=parent))) for parent in parents}
    own = run_id and choose_parent(reader, kind, run_id)
    own = own or max(parents, key=lambda parent: counts[parent])  # the first of equals: the newest
    others = [f"{p[:_SHORT]} ({counts[p]})" for p in parents if p != own and counts[p]]
    why = "chosen by id" if run_id else "the newest" if own == parents[0] else "most finished runs"
    return own, f"{why}; others (finished runs): {', '.join(others)}" if others else why


def load(reader: Reader, kind: str, parent: str) -> pd.DataFrame:
    """The runs of a parent, as the claims of its kind take them."""
    runs = reader.runs(parent=parent)
    if runs.empty:  # a parent that was just opened
        return runs
    if kind == "online_scan":
        history = reader.history(runs["run_id"], online_staleness.KEYS)
        return online_staleness.with_staleness(runs, history)
    if kind == "method_comparison":
        return cost.with_costs(runs, reader.history(runs["run_id"], cost.KEYS))
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
        settings, claims = told.settings(runs), tuple(told.claims(runs))
    except CreditError as error:
        return Chapter(*start, "", *origin, "", choice, str(error), ())
    unfinished = f"{done} of {len(runs)} runs finished" if done < len(runs) else ""
    settings = "; ".join(filter(None, (settings or "published", unfinished)))
    return Chapter(*start, "", *origin, settings, choice, "", claims)
