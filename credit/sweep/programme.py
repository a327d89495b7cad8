"""The published programme: every experiment of which numbers were reported, at their settings."""

import contextlib
import math
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import pandas as pd

from credit import experiments
from credit.errors import CreditError
from credit.lab import Experiment, Options, distinct, untrained
from credit.lab.costs import with_costs
from credit.lab.quantity import FLOPS, SECONDS
from credit.lab.scoreboard import Score, authors, board, invocations, missing, of_specs, scores
from credit.networks.kinds import shape_of as network
from credit.networks.size import SIZES
from credit.rules import Shape
from credit.spec import RunSpec, check_names
from credit.sweep.launch import LINEAR, launch
from credit.sweep.sweep import resolve
from credit.toy_lq import system
from credit.tracking.exported import Exports
from credit.tracking.marks import settings
from credit.tracking.reader import Reader
from credit.training.cost import costs

SAMPLES = {"cifar10": 50_000}
"""Training samples by dataset, where a run takes all of them."""


@dataclass(frozen=True)
class Step:
    """One experiment with the options of one reported configuration."""

    experiment: Experiment
    options: Options

    @property
    def name(self) -> str:
        """The step as it is typed behind `python -m entrypoints.`."""
        words = (f"--{name} {value}" for name, value in self.options.items())
        return " ".join([self.experiment.kind, *words])

    @cached_property
    def specs(self) -> list[RunSpec]:
        """The runs of the step, those of a second stage among them where they can be known."""
        own = self.experiment
        chosen = own.settled({"preset": "published", **self.options})
        whole = [*own.grid(chosen), *(own.complete(chosen) if own.complete else ())]
        return distinct(resolve(spec.replace(device="cpu")) for spec in whole)


def steps(only: Sequence[str] = ()) -> list[Step]:
    """Return the steps of the programme, or of some kinds that have numbers of their own."""
    known, found = set(), []
    every = [experiments.find(kind) for kind in experiments.KINDS]
    for one in sorted(every, key=lambda one: -len(authors(one))):
        own = set(map(id, authors(one)))
        found += [Step(one, options) for options in invocations(one) if own - known]
        known |= own
    kinds = sorted({step.experiment.kind for step in found})
    check_names(only, kinds, "experiment with reported numbers")
    return [step for step in found if not only or step.experiment.kind in only]


def operations(spec: RunSpec) -> float:
    """Return the floating-point operations of a run's training."""
    return _operations(spec.replace(seed=0, start="none"))


@lru_cache(maxsize=1024)
def _operations(spec: RunSpec) -> float:
    samples = spec.train_samples or SAMPLES[spec.dataset]
    per_step = costs(spec, shape_of(spec))["cost/flops_per_step"]
    return per_step * math.ceil(samples / spec.batch_size) * spec.epochs


def shape_of(spec: RunSpec) -> Shape:
    """Return the dimensions of a run's network, without its data."""
    if spec.dataset == LINEAR:
        return Shape(0, spec.width, system.outputs_of(spec.width), spec.depth)
    size = SIZES[spec.dataset]
    return network(spec, size.image, size.classes)


@dataclass(frozen=True)
class State:
    """What a store holds of the programme."""

    source: Reader | Exports
    steps: Sequence[Step]

    @cached_property
    def runs(self) -> pd.DataFrame:
        """Every child run of the store, and every untrained network."""
        found = [self.source.runs()]
        for own in {s.experiment.kind: s.experiment for s in self.steps}.values():
            for row in self.source.parents(own.kind).to_dict("records") if own.measured else ():
                asked = {n: v for n, v in settings(row["params"]).items() if n in own.defaults()}
                specs = [resolve(s.replace(device="cpu")) for s in own.grid(own.settled(asked))]
                with contextlib.suppress(CreditError):  # it ended before it had measured
                    read = untrained.read_back(specs, own.columns, self.source, row["run_id"])
                    found.append(read.assign(run_id=row["run_id"], spec_hash=""))
        return pd.concat([one for one in found if len(one)] or found, ignore_index=True)

    @cached_property
    def rates(self) -> dict[str, float]:
        """Operations a second by rule, the median over the runs of the store; "" is of all."""
        runs = self.source.runs()
        if runs.empty:
            return {"": math.nan}
        priced = with_costs(runs, self.source)
        samples = priced["train_samples"].where(priced["train_samples"] > 0, SAMPLES["cifar10"])
        work = priced[FLOPS.metric] * (samples / priced["batch_size"])
        timed = priced.assign(rate=work / priced[SECONDS.metric]).dropna(subset="rate")
        parts = {"": timed, **dict(iter(timed.groupby("rule")))}
        return {str(rule): float(np.median(own["rate"])) for rule, own in parts.items()}

    def hours(self, specs: Sequence[RunSpec]) -> float:
        """Return how long runs would train at the rates of the store; nan where it has none."""
        rates = self.rates
        return sum(operations(s) / rates.get(s.rule, rates[""]) for s in specs) / 3600

    @cached_property
    def scores(self) -> list[Score]:
        """The scores of every reported number, each once."""
        found = []
        for step in self.steps:
            own = (step.experiment, step.options, step.specs, self.runs, self.source)
            found += scores(*own, (lambda _: 0.0) if step.experiment.measured else self.hours)
        return board(found)

    @cached_property
    def needed(self) -> list[Step]:
        """The steps that train what a score is of, and no other experiment does."""
        own = [(score.kind, score.one.options) for score in self.scores]
        return [step for step in self.steps if (step.experiment.kind, step.options) in own]

    def left(self, step: Step) -> list[RunSpec]:
        """Return the runs of a step that the store does not hold as finished."""
        own = of_specs(self.runs, step.specs, step.experiment.having)
        return missing(own, step.specs)

    @cached_property
    def plan(self) -> pd.DataFrame:
        """One row per needed step, the fewest hours first: experiment, runs, missing, hours.

        A run that several steps share counts into the hours of the first.
        """
        rows, known = [], set()
        left = {step.name: self.left(step) for step in self.needed}
        order = sorted(self.needed, key=lambda step: sum(map(operations, left[step.name])))
        for step in order:
            own = left[step.name]
            new = [spec for spec in own if spec.spec_hash not in known]
            hours = 0.0 if step.experiment.measured else self.hours(new)
            known |= {spec.spec_hash for spec in own}
            rows.append((step.name, len(step.specs), len(own), hours))
        return pd.DataFrame(rows, columns=["experiment", "runs", "missing", "hours"])


def run_all(found: Sequence[Step], device: str, now: Callable[[], State]) -> dict[str, str]:
    """Run the steps, the fewest hours first; return why steps failed, by name.

    `now` reads the store before every step, to say how long the rest takes.
    """
    failures, todo = {}, list(found)
    while todo:
        plan = now().plan
        plan = plan.loc[plan["experiment"].isin([step.name for step in todo])]
        step = next(own for own in todo if own.name == plan["experiment"].iloc[0])
        todo.remove(step)
        left = plan["hours"].sum(skipna=False)
        print(f"credit: {step.name}, {len(todo)} more; hours left: {left:.1f}", file=sys.stderr)
        try:
            given = {"preset": "published", "device": device, **step.options}
            done = launch(step.experiment, given)
            print(done.text)
            if done.failures:
                failures[step.name] = "some of its runs failed"
        except Exception as error:  # whatever it is: the other experiments do not depend on it
            if not isinstance(error, CreditError):
                traceback.print_exc()
            failures[step.name] = " ".join(f"{type(error).__name__}: {error}".split())
    return failures
