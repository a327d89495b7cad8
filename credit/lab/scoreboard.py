"""Scoreboard: every number that the authors reported, beside ours.

Ours are runs of the reported configuration: the experiment's published preset with the options that
the reported value names, on any seed. A run that differs in any other setting never counts.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from credit.errors import CreditError
from credit.lab.departure import FREE
from credit.lab.experiment import Experiment
from credit.lab.factor import labelled
from credit.lab.frame import Frame, pick
from credit.lab.layers import at_layer
from credit.lab.options import Options, distinct
from credit.lab.protocol import POOR
from credit.lab.quantity import ACCURACY, Quantity
from credit.lab.source import AUTHORS, Reported, Source, Span, Value, mean_and_sd
from credit.lab.table import spread
from credit.spec import RunSpec, field_types

REPRODUCED, DEVIATES, NOT_RUN = STATUSES = ("reproduced", "deviates", "not run")
POINTS, OF_BP, PRINTED, FACTOR = 0.015, 0.010, 0.005, 3.0
RULE = (
    "An accuracy is reproduced within 1.5 points, about the largest sample sd that was reported of "
    "a cell of the ladder, and one of bp, which scatters less, within 1.0. A cosine, a correlation "
    "and a lead in them are reproduced within twice the reported sd or .05, below which the audit "
    "calls a direction poor, whichever is more; an untrained network's numbers within twice the sd "
    "or .005, half of the last digit that is printed of the least exact one. A nudge, whose size "
    "is that of the step, and a norm that is reported as an order of magnitude are reproduced "
    "within a factor of 3, half a decade; a bound where ours keeps it; a range as its nearest end."
)
"""How near ours must be. It was fixed before the scores were computed; the ladder's differences,
and that an untrained network agrees, were known."""
SETTINGS = [name for name in field_types() if name not in FREE]
"""Fields in which runs of one configuration agree."""


@dataclass(frozen=True)
class Score:
    """One reported number beside ours."""

    kind: str
    cell: str
    """In words."""
    one: Reported
    quantity: Quantity
    """Of ours."""
    value: Value
    rule: str
    ours: float
    """nan without a valid number."""
    sd: float
    n: int
    why: str
    """Why there is no number of ours."""
    hours: float
    """Of the runs that are missing; nan where their speed is not known or nothing trains them."""
    run_ids: tuple[str, ...]
    identity: tuple
    """Equal for one reported number that several experiments show."""

    @cached_property
    def judged(self) -> tuple[float, str, str]:
        """Return the difference, the tolerance in words and the status: RULE in code."""
        (mean, sd), value = mean_and_sd(self.value), self.value
        nearest = min(max(self.ours, value.low), value.high) if isinstance(value, Span) else mean
        apart = round(self.ours - nearest, 12)
        if self.one.absent:
            within, kept = "", False
        elif self.one.bound:
            within, kept = f"{self.one.bound}", apart <= 0 if self.one.bound == "≤" else apart >= 0
        elif self.one.rough and mean:
            within, kept = f"factor {FACTOR:g}", 1 / FACTOR <= self.ours / mean <= FACTOR
        else:
            most = self._most(sd)
            within, kept = f"± {most:.3f}".replace("0.", "."), abs(apart) <= most
        status = NOT_RUN if math.isnan(self.ours) else REPRODUCED if kept else DEVIATES
        return apart, within, status

    def _most(self, sd: float) -> float:
        if self.quantity.metric.startswith("accuracy/"):
            return OF_BP if self.rule == "bp" else POINTS
        least = PRINTED if self.quantity.metric.startswith("identity/") else POOR
        return least if math.isnan(sd) else max(least, 2 * sd)

    @property
    def status(self) -> str:
        """REPRODUCED, DEVIATES or NOT_RUN."""
        return self.judged[-1]

    @property
    def reported(self) -> str:
        """The reported value in words: "≥ 694", ".246 to .264", ".617 ± .002"."""
        if isinstance(self.value, Span):
            return " to ".join(map(self.quantity.text, self.value))
        mean, sd = mean_and_sd(self.value)
        after = "" if math.isnan(sd) else f" ± {self.quantity.text(sd)}"
        return f"{self.one.bound} {self.quantity.text(mean)}{after}".strip()

    @property
    def row(self) -> dict[str, Any]:
        """The score as a row of `scoreboard.csv`."""
        (mean, sd), (apart, within, status) = mean_and_sd(self.value), self.judged
        return {
            "experiment": self.kind,
            "cell": self.cell,
            "quantity": self.quantity.symbol,
            "reported": mean,
            "reported_sd": sd,
            "reported_text": self.reported,
            "ours": self.ours,
            "sd": self.sd,
            "n": self.n,
            "difference": apart,
            "tolerance": within,
            "status": status,
            "why": self.why,
            "hours": self.hours,
            "runs": " ".join(self.run_ids),
            "source": self.one.source,
        }


def authors(experiment: Experiment) -> list[Reported]:
    """Return what the authors reported, among all that an experiment shows."""
    return [one for one in experiment.reported if one.source.startswith(AUTHORS)]


def invocations(experiment: Experiment) -> list[Options]:
    """Return the options of every reported configuration, each once."""
    own = {tuple(sorted(one.options.items())) for one in authors(experiment)}
    return [dict(items) for items in sorted(own, key=lambda items: (len(items), items))]


def configuration(run: Mapping[str, Any]) -> tuple:
    """Return what runs of one configuration share; where a run starts is asked of `of_specs`."""
    return (*(run[name] for name in SETTINGS), run["start"] != "none")


def _configurations(runs: pd.DataFrame) -> list[tuple]:
    """Return the `configuration` of every run."""
    return [configuration(run) for run in runs[[*SETTINGS, "start"]].to_dict("records")]


def of_specs(
    runs: pd.DataFrame, specs: Sequence[RunSpec], having: str = ACCURACY.metric
) -> pd.DataFrame:
    """Return the finished runs of the specs' configurations, on any seed the newest.

    A run that starts from another's network counts where that one counts.

    Args:
        having: the metric that a finished run has.
    """
    wanted = {configuration(vars(spec)) for spec in specs}
    done = runs.loc[runs["status"] == "FINISHED"].sort_values("started", kind="stable")
    done = done.loc[done[having].notna()] if having in done else done.iloc[:0]
    own = done.loc[[key in wanted for key in _configurations(done)]]
    own = own.loc[(own["start"] == "none") | own["start"].isin(own["spec_hash"])]
    own = own.drop_duplicates([*SETTINGS, "seed", "start"], keep="last")
    return own.reset_index(drop=True).copy()


def missing(runs: pd.DataFrame, specs: Sequence[RunSpec]) -> list[RunSpec]:
    """Return the specs that have no run on their seed among those of `of_specs`."""
    there = set(zip(_configurations(runs), runs["seed"], strict=True))
    return [spec for spec in specs if (configuration(vars(spec)), spec.seed) not in there]


def scores(
    experiment: Experiment,
    options: Options,
    specs: Sequence[RunSpec],
    runs: pd.DataFrame,
    source: Source,
    hours: Callable[[Sequence[RunSpec]], float],
) -> list[Score]:
    """Return a score of every reported value that one invocation of an experiment trains.

    Args:
        options: of `invocations`.
        specs: the runs of that invocation, resolved.
        runs: as of `Reader.runs`, of whatever experiments.
        hours: says how long specs would train.

    Raises:
        ValueError: no run of the invocation is of a reported cell.
    """
    own, found = of_specs(runs, specs, experiment.having), []
    frame, lost = _frame(experiment, own, source)
    rows = pd.DataFrame([{**vars(spec), "place": i} for i, spec in enumerate(specs)])
    wanted = labelled(experiment.repeat(rows) if experiment.repeat else rows, experiment.factors)
    for one in authors(experiment):
        for key, value in one.values.items() if one.options == options else ():
            cell = dict(zip(one.factors, key if isinstance(key, tuple) else (key,), strict=True))
            words = _words(experiment, cell, options)
            quantity = one.measure or one.quantity
            quantity = at_layer(quantity, cell.pop("layer")) if "layer" in cell else quantity
            asked = {**one.settings, **{name: v for name, v in cell.items() if name != "seed"}}
            mine = [specs[place] for place in pick(wanted, asked)["place"]]
            if not mine:
                raise ValueError(f"no run of {experiment.kind} {options} is {asked}")
            mine = distinct(s.replace(seed=cell.get("seed", s.seed)) for s in mine)
            done = pick(frame.done, {**asked, **cell}) if frame else own.iloc[:0]
            left = [] if one.absent else missing(pick(own, one.where), mine)
            why = one.absent or lost or (f"{len(left)} of {len(mine)} runs" if left else "")
            numbers = _ours(quantity, frame, done) if frame and not one.absent else _NONE
            configurations = frozenset(configuration(vars(spec)) for spec in mine)
            metric = quantity.key(mine[0].depth) or quantity.name
            found.append(
                Score(
                    *(experiment.kind, words, one, quantity, value, str(cell.get("rule", ""))),
                    *numbers,
                    "" if numbers[-1] else why or "not valid in the runs that are there",
                    math.nan if one.absent else hours(left),
                    tuple(done["run_id"]) if numbers[-1] else (),
                    (metric, value, one.bound, one.absent, configurations, cell.get("seed")),
                )
            )
    return found


_NONE = (math.nan, math.nan, 0)


def _frame(experiment: Experiment, own: pd.DataFrame, source: Source) -> tuple[Frame | None, str]:
    """Return the runs with the experiment's labels, or None and why."""
    try:
        return (None, "") if own.empty else (experiment.frame(own, source), "")
    except CreditError as error:  # runs of which the store lacks a table
        return None, str(error)


def _words(experiment: Experiment, cell: Mapping[str, Any], options: Options) -> str:
    """Return a cell in words, with the settings that it does not have from the preset."""
    signs = {"layer": "h_{}".format, "seed": "seed {}".format}
    signs |= {factor.name: factor.show for factor in experiment.factors}
    own = [f"{name}={value}" for name, value in options.items() if name in field_types()]
    return " ".join([*(signs[name](label) for name, label in cell.items()), *own])


def _ours(quantity: Quantity, frame: Frame, done: pd.DataFrame) -> tuple[float, float, int]:
    """Return our number, its sample sd and over how many runs it is."""
    values = quantity.values(frame.done).loc[done.index].dropna()
    row = spread(quantity, values)
    own = (row[quantity.name], row.get(f"{quantity.name}_sd", math.nan), len(values))
    return own if len(values) else _NONE


def board(found: Sequence[Score]) -> list[Score]:
    """Return every reported number once: as the experiment has it that shows the most of them."""
    counts, first = Counter(score.kind for score in found), {}
    for score in sorted(found, key=lambda score: -counts[score.kind]):
        first.setdefault(score.identity, score)
    return [score for score in found if first[score.identity] is score]


def totals(found: Sequence[Score]) -> dict[str, int]:
    """Return how many numbers have each status."""
    return {status: sum(score.status == status for score in found) for status in STATUSES}
