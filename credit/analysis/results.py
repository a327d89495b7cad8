"""What an experiment leaves on its parent run, whatever the experiment."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import pandas as pd
from matplotlib.figure import Figure


class Results(NamedTuple):
    """Tables, figure and verdicts of one experiment, ready to be logged and printed."""

    title: str
    """One line: what was run, on what, for how long, how often."""
    table: pd.DataFrame
    """Long, with numbers: `table.csv`."""
    wide: pd.DataFrame
    """As people read it, in strings: `table.md` and the terminal."""
    figure: Figure
    verdicts: list[dict[str, Any]]
    """`check`, `rule`, `status`, `value`, `threshold` and `reason` of each."""
    notes: tuple[str, ...] = ()
    """Lines below the table."""
    more: Mapping[str, pd.DataFrame] = {}
    """Further tables by name, each logged as CSV."""
    text: str = ""
    """The table in the terminal, where that is not `wide`."""
