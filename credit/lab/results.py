"""Results that an experiment leaves on its parent run, computed from finished runs alone."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from credit.lab import table as tables
from credit.lab.departure import PUBLISHED, differences, settings
from credit.lab.experiment import Experiment
from credit.lab.frame import Frame, pick
from credit.lab.source import Source
from credit.lab.statistics import holm
from credit.lab.verdict import Verdict
from credit.spec import format_value

_TITLE = {"dataset": "", "width": "d=", "depth": "L=", "train_samples": "samples ", "epochs": ""}


@dataclass(frozen=True, eq=False)
class Results:
    """Tables, verdicts and words of an experiment, ready to be logged, drawn and printed."""

    experiment: Experiment
    frame: Frame
    source: Source

    @cached_property
    def table(self) -> pd.DataFrame:
        """Long, with numbers, and how the runs differ from the published ones: `table.csv`."""
        own = tables.long_table(self.frame, self.experiment.columns, self.experiment.beside)
        return own.assign(settings=self.settings)

    @cached_property
    def wide(self) -> pd.DataFrame:
        """The table as people read it, in strings: `table.md` and the terminal."""
        own, factor = self.experiment, self.experiment.across
        if not factor:
            return tables.shown_table(self.table, self.frame, own.columns, own.beside)
        rows = [f.name for f in own.factors if f.name != factor]
        sign = next(f.sign for f in own.factors if f.name == factor)
        short = self.table.assign(**{name: self.table[name].map(self.frame.short) for name in rows})
        wide = tables.across(short, own.columns[0], factor, rows, sign)
        return wide.rename(columns=self.frame.names)

    @cached_property
    def verdicts(self) -> list[Verdict]:
        """Every check's outcome, in the order of the experiment's file."""
        return holm([check.judge(self.frame) for check in self.experiment.checks(self.frame)])

    @cached_property
    def more(self) -> Mapping[str, pd.DataFrame]:
        """Further tables by name."""
        return self.experiment.more(self.frame, self.source) if self.experiment.more else {}

    @cached_property
    def settings(self) -> str:
        """Differences from the published preset: "published", "reduced: ...", "" without one."""
        own = self.experiment
        if "published" not in own.presets:
            return ""
        asked = own.asked(self.frame) if own.asked else {}
        published = (own.complete or own.grid)(own.settled({"preset": "published", **asked}))
        return settings(differences(self.frame, published, own.repeat))

    @property
    def title(self) -> str:
        """One line: what was run, on what, for how long, how often."""
        n = tables.counted(self.table)
        few = {"0": "no run has finished yet", "1": "n = 1 seed"}
        seeds = few.get(n, f"mean ± sample sd over n = {n} seeds")
        return f"{self.experiment.title}: {self.setup}; {seeds}"

    @property
    def setup(self) -> str:
        """On what, how large and how long the runs are, and how they differ from the published."""
        runs, parts = self.frame.runs, []
        named = {f.name for f in self.frame.factors}
        for name, sign in _TITLE.items():
            values = sorted(runs[name].unique())
            untrained = self.experiment.measured and name in ("epochs", "train_samples")
            if name in named or untrained or (name == "train_samples" and values == [0]):
                continue
            shown = "/".join(map(format_value, values))
            parts.append(f"{shown} epochs" if name == "epochs" else f"{sign}{shown}")
        reduced = "" if self.settings in ("", PUBLISHED) else f"; {self.settings}"
        return f"{', '.join(parts)}{reduced}"

    @property
    def n(self) -> str:
        """Over how many seeds a number of the table is: "n = 3", or "n = 1 to 3"."""
        return f"n = {tables.counted(self.table)}"

    @cached_property
    def sources(self) -> list[str]:
        """Where the reported values of the table come from; [] where none is shown."""
        cells = [(labels, pick(self.frame.runs, labels)) for labels in self.frame.cells()]
        shown = (
            one.source
            for one in self.experiment.beside
            if any(not math.isnan(one.find(*cell)[0]) for cell in cells)
        )
        return list(dict.fromkeys(shown))


def results(
    experiment: Experiment,
    runs: pd.DataFrame,
    source: Source,
    parent: Mapping[str, float] | None = None,
) -> Results:
    """Return the results of one parent's runs, at least one, as of `Reader.runs(parent=...)`.

    Args:
        source: where their histories and artifacts are read from.
        parent: metrics of the parent run itself.
    """
    return Results(experiment, experiment.frame(runs, source, parent), source)
