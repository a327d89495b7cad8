"""Experiments from Python: run one, read its result, load what it trained.

    ladder = credit.ladder(preset="quick")
    ladder.table, ladder.verdicts, ladder.figure()

The same runs as `credit ladder --preset quick` makes: what the tracking store holds is not trained
again.
"""

import inspect
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from torch import nn

from credit import experiments, figures, report
from credit.errors import CreditError
from credit.finished.loading import trained
from credit.lab import Results
from credit.report import comparing, page
from credit.report.answer import answer
from credit.report.comparison import Comparison
from credit.rules import Rule
from credit.spec import check_names
from credit.sweep.launch import launch
from credit.sweep.options import DEFAULTS, Launch
from credit.tracking.reader import connect
from credit.values import format_value


@dataclass(frozen=True)
class Result:
    """What an experiment came to, read from the tracking store. Notebooks show it as a page.

    Attributes:
        run_id: the parent run, which holds table, figure, verdicts and report.
    """

    run_id: str

    @cached_property
    def results(self) -> Results:
        """All of it, in the language of `credit.lab`."""
        return report.read(connect(), self.run_id)

    @property
    def answer(self) -> str:
        """The outcome in one line."""
        return answer(self.results)

    @property
    def table(self) -> pd.DataFrame:
        """A row per cell: labels; means, sds and n of every quantity; reported values."""
        return self.results.table

    @property
    def verdicts(self) -> pd.DataFrame:
        """A row per check: check, rule, status, value, threshold, reason."""
        columns = ["check", "rule", "status", "value", "threshold", "reason"]
        rows = [verdict.row for verdict in self.results.verdicts]
        return pd.DataFrame([{name: row[name] for name in columns} for row in rows])

    @property
    def runs(self) -> pd.DataFrame:
        """A row per run: settings with their types, the last value of every metric."""
        return connect().runs(parent=self.run_id)

    def history(self, *metrics: str) -> pd.DataFrame:
        """Return every logged value of some metrics, or of all: run_id, key, step, value."""
        return connect().history(self.runs["run_id"], metrics or None)

    def figure(self) -> Figure | None:
        """Return the figure; None where the experiment has none."""
        return figures.figure(self.results)

    def __str__(self) -> str:
        return "\n".join(report.text(self.results)).strip()

    def _repr_html_(self) -> str:
        return page.excerpt(self.results)


def run(kind: str, **options: Any) -> Result:
    """Run an experiment and return its result; what the store holds is not trained again.

    Args:
        kind: such as "ladder"; `credit ls experiments` has all.
        options: those of the command line, such as preset="quick", rules=["bp", MyRule], seeds=42.
            Lists are joined by commas; a rule may be a class of an importable module.

    Raises:
        CreditError: an option is unknown or out of bounds, or a run failed.
    """
    experiment = experiments.find(kind)
    known = {**experiment.defaults(), **DEFAULTS}
    check_names(list(options), known, "option")
    given = {**known, **{name: text_of(name, value) for name, value in options.items()}}
    place = Launch.from_options({name: given.pop(name) for name in DEFAULTS})
    done = launch(experiment, given, place)
    if done.failures:
        name, why = next(iter(done.failures.items()))
        raise CreditError(f"{len(done.failures)} runs failed, the first {name}: {why}")
    if not done.parent_id:
        raise CreditError(f"nothing was trained: {done.text}")
    return Result(done.parent_id)


def text_of(name: str, value: Any) -> str:
    """Return an option as it is typed: True as true, a list with commas, a rule by its name.

    Raises:
        CreditError: a rule cannot be imported again, because it was defined in a notebook or shell.
    """
    if isinstance(value, Rule):
        value = type(value)
    if inspect.isclass(value):
        if value.__module__ == "__main__":
            raise CreditError(
                f"{name}={value.__qualname__} was defined here: write it to a file and import it, "
                "so that runs can name it"
            )
        return f"{value.__module__}:{value.__qualname__}"
    if isinstance(value, str) or not isinstance(value, Iterable):
        return value if isinstance(value, str) else format_value(value)
    return ",".join(text_of(name, one) for one in value)


def ladder(**options: Any) -> Result:
    """Run the depth-utility ladder: does training more blocks raise accuracy? See `run`."""
    return run("ladder", **options)


def audit(rule: Any, **options: Any) -> Result:
    """Run the whole protocol on one rule: a name, package.module:Rule, or a class. See `run`."""
    return run("audit", **{"preset": "quick", **options, "rule": rule})


def train(**options: Any) -> Result:
    """Train one run: rule="dfa", k=4, epochs=5. See `run`."""
    return run("train", **options)


def compare(first: Any, second: Any, parent: str = "") -> Comparison:
    """Set two results, or two rules of one, side by side: paired differences, verdicts, settings.

    Args:
        first, second: results or their run ids; or two labels of one parent run, such as "dfa",
            MyRule or k=0 as 0.
        parent: that parent run; empty for the newest ladder.

    Raises:
        CreditError: no such runs or labels, or they have no cell in common.
    """
    reader = connect()
    both = {"first": first, "second": second}
    names = [n.run_id if isinstance(n, Result) else text_of(k, n) for k, n in both.items()]
    return comparing.between(reader, names[0], names[1], lambda: parent or reader.newest("ladder"))


def load(run_id: str, trust: Iterable[str] = ()) -> nn.Module:
    """Return the trained network of a run: standardised images (N, C, H, W) to logits.

    The run's MLflow model is the same on raw images.

    Args:
        run_id: of a trained run, such as `credit.train(rule="dfa").runs["run_id"][0]`.
        trust: networks from outside the package that may be imported because the run names them.

    Raises:
        CreditError: the run is not finished, or has no weights, as imported ones.
    """
    return trained(connect(), run_id, tuple(trust))
