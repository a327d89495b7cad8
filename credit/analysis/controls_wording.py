"""How the controls and the scale experiment put things: the deepest runs, points."""

from typing import Any

import pandas as pd


def deepest(runs: pd.DataFrame) -> dict[str, Any]:
    """The settings of the deepest runs, as a mapping."""
    return dict(runs.loc[runs["depth"] == runs["depth"].max()].iloc[0])


def points(gain: float) -> str:
    """A difference of accuracies: "+2.3 points"."""
    return f"{100 * gain:+.1f} points"
