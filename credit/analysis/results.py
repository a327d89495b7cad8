"""What an experiment leaves on its parent run, whatever the experiment."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import pandas as pd
from matplotlib.figure import Figure


class Results(NamedTuple):
    """Tables, figure, verdicts and words of one experiment, ready to be logged and printed."""

    title: str
    """One line: what was run, on what, for how long, how often."""
    table: pd.DataFrame
    """Long, with numbers: `table.csv`."""
    wide: pd.DataFrame
    """As people read it, in strings: `table.md` and the terminal."""
    figure: Figure | None
    """None where there is nothing to draw."""
    verdicts: list[dict[str, Any]]
    """`check`, `rule`, `status`, `value`, `threshold` and `reason` of each."""
    notes: tuple[str, ...] = ()
    """Lines below the table."""
    more: Mapping[str, pd.DataFrame] = {}
    """Further tables by name, each logged as CSV."""
    text: str = ""
    """The table in the terminal, where that is not `wide`."""
    beside: Mapping[str, pd.DataFrame] = {}
    """Further tables as people read them, by caption: below the notes."""
    question: str = ""
    """What the experiment asks, in one sentence."""
    setup: tuple[str, ...] = ()
    """What was done, in sentences, from the settings of the runs."""
    caption: str = ""
    """What the figure shows, and what its error bars are."""
    findings: tuple[str, ...] = ()
    """What the numbers say, in sentences made from them."""
    caveats: tuple[str, ...] = ()
    """What is to be kept in mind of this experiment, beside what holds of all."""
    cells: pd.DataFrame | None = None
    """The finished runs that the table is made of, with the columns `by`."""
    by: tuple[str, ...] = ()
    """Columns of `cells`: runs that agree in them differ in their seed only and make one number."""
    answer: str = ""
    """What came out, in one sentence; empty where the claims among the findings say it."""
