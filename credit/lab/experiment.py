"""An experiment: question, factors, presets, columns, checks and figure, as data."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from credit.lab.check import All, Check
from credit.lab.costs import KEYS, with_costs
from credit.lab.factor import Factor, labelled
from credit.lab.frame import Frame
from credit.lab.looks import Panel
from credit.lab.options import PRESET, Options, settled
from credit.lab.quantity import ACCURACY, Quantity
from credit.lab.source import Reported, Source
from credit.spec import SETTLED_FIELDS, RunSpec, field_types

Checks = Sequence[Check | All]


@dataclass(frozen=True)
class Experiment:
    """What is varied, what is measured and what must hold."""

    kind: str
    """Tag of its parent runs, and name of its entry point."""
    title: str
    question: str
    factors: tuple[Factor, ...]
    """What names a row of the table, in order."""
    presets: Mapping[str, Options]
    """By name, options as strings; what a preset leaves out has RunSpec's default. May be empty."""
    grid: Callable[[Options], list[RunSpec]]
    """The runs that the options ask for; raises CreditError before anything is trained."""
    columns: tuple[Quantity, ...]
    checks: Callable[[Frame], Checks]
    """What must hold of the runs; of those rules, rungs and arms that are among them."""
    figure: tuple[Panel, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    """Options of its own, such as lists of rules, with their help."""
    fixed: tuple[str, ...] = ()
    """RunSpec fields that the grid sets, so that they are no option."""
    places: tuple[str, ...] = ()
    """Factors at each level of which a check must hold."""
    across: str = ""
    """A factor whose labels are the columns of the table that people read."""
    reported: tuple[Reported, ...] = ()
    caveats: tuple[str, ...] = ()
    having: str = ACCURACY.metric
    """The metric that a finished run has."""
    adapt: Callable[[Options], Options] | None = None
    """Adds to the options given what one of them settles, before the preset fills in the rest."""
    then: Callable[[Options, pd.DataFrame, Source], list[RunSpec]] | None = None
    """A second stage: the runs that follow from those of the first, given as `Reader.runs`."""
    complete: Callable[[Options], list[RunSpec]] | None = None
    """The runs of a whole experiment, where a second stage adds to the grid; settings may be
    compared with these, and what cannot be trained is refused before the first stage."""
    headline: str = ""
    """The check whose outcomes are the answer, rule by rule."""
    answer: "Callable[[Any], str] | None" = None
    """Says from `Results` what came out, where that is more than the headline's outcomes."""
    of_parent: (
        Callable[[Sequence[RunSpec]], tuple[Mapping[str, float], Mapping[str, str]]] | None
    ) = None
    """Measures what belongs to the parent run itself, before training: its metrics, and what the
    tracking store calls the data."""
    asked: Callable[[Frame], Options] | None = None
    """Options that no preset has, such as the audited rule, read back from the runs."""
    measured: Callable[[Sequence[RunSpec]], pd.DataFrame] | None = None
    """Measures the grid's networks in place of their training: a row each, a column per metric.
    The parent has no child runs then; `lab.untrained` says what stands for them."""
    prepare: Callable[[pd.DataFrame, Source], pd.DataFrame] | None = None
    """Adds columns of its own science to the runs, such as a reference's accuracy."""
    repeat: Callable[[pd.DataFrame], pd.DataFrame] | None = None
    """Repeats a run for every cell that it stands in, which factors read from columns."""
    more: Callable[[Frame, Source], Mapping[str, pd.DataFrame]] | None = None
    """Further tables by name, each logged as CSV and Markdown."""

    @property
    def shown(self) -> tuple[Reported, ...]:
        """The reported values that stand beside ours in figures: no bounds, none that we lack."""
        return tuple(one for one in self.reported if not (one.bound or one.absent))

    @property
    def beside(self) -> tuple[Reported, ...]:
        """The reported values that are of the table's cells; others are of their layers."""
        names, columns = {f.name for f in self.factors}, {q.name for q in self.columns}
        own = (one for one in self.shown if one.quantity.name in columns)
        return tuple(one for one in own if one.factors and names.issuperset(one.factors))

    def defaults(self) -> dict[str, str]:
        """Return every option with its default; what is left to the preset is PRESET."""
        left = [n for n in field_types() if n not in SETTLED_FIELDS.union(self.fixed, self.options)]
        preset = {"preset": "published"} if self.presets else {}
        return {**preset, **dict.fromkeys([*self.options, *left], PRESET)}

    def settled(self, given: Options) -> dict[str, str]:
        """Return the options after the preset has filled in what was left to it."""
        return settled(self.presets, {**self.defaults(), **given})

    def params(self, chosen: Options, specs: Sequence[RunSpec]) -> dict[str, str]:
        """Return what the parent run logs: every option as the runs have it, its lists as given.

        Where the runs differ in a field, as a rule that does not read a knob keeps its default, it
        is what was asked for.
        """
        default, runs = RunSpec().to_params(), [spec.to_params() for spec in specs]
        found = dict(chosen)
        if "ks" in found:
            found["ks"] = ",".join(map(str, dict.fromkeys(spec.k for spec in specs)))
        for name in default.keys() & found.keys():
            values = {params[name] for params in runs}
            if len(values) == 1:
                found[name] = values.pop()
            elif found[name] == PRESET:
                found[name] = default[name]
        return found

    def frame(
        self, runs: pd.DataFrame, source: Source, parent: Mapping[str, float] | None = None
    ) -> Frame:
        """Return the runs with the experiment's columns and labels.

        Args:
            runs: as of `Reader.runs`.
            parent: metrics of their parent run.
        """
        costly = any(column.metric in KEYS for column in self.columns)
        priced = with_costs(runs, source) if costly else runs
        prepared = self.prepare(priced, source) if self.prepare else priced
        rows = labelled(self.repeat(prepared) if self.repeat else prepared, self.factors)
        return Frame(rows, self.factors, self.places, self.having, parent or {})
