"""Which parent of a kind of experiment the story tells.

A published one before a reduced one, that before one of which cells are missing, that before a
quick one. What a parent is its finished runs say, not the name of its preset, whose options may
have been overridden; a quick one is what its preset calls so. Of equals those come first of which
all runs are finished, then the newest. So neither a run that was interrupted nor a small control
that was made later takes the place of a whole experiment.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import pandas as pd

from credit.analysis.reduction import Difference
from credit.analysis.selection import choose_parent, finished
from credit.errors import CreditError
from credit.tracking.reader import Reader

RANKS = ("published", "reduced", "reduced, cells missing", "quick", "cannot be told")
"""What a parent is, the first to be told first."""

Judge = Callable[[pd.DataFrame], list[Difference]]
_SHORT = 8  # characters of an id that are shown


def choose(reader: Reader, kind: str, judge: Judge, run_id: str | None = None) -> tuple[str, str]:
    """The parent to tell, "" for none, and a word on the others.

    Args:
        judge: in what runs are not the published ones.

    Raises:
        CreditError: `run_id` is given and is not such an experiment.
    """
    parents = reader.parents(kind)
    if parents.empty and run_id is None:
        return "", ""
    known = [
        _candidate(judge, row["run_id"], row["params"], reader.runs(parent=row["run_id"]))
        for row in parents.to_dict("records")
    ]
    own = run_id and choose_parent(reader, kind, run_id)
    told = [one for one in known if one.done] or known
    own = own or min(told, key=lambda one: (one.rank, not one.whole)).parent  # of equals the newest
    chosen = next(one for one in known if one.parent == own)
    alike = [one for one in told if (one.rank, one.whole) == (chosen.rank, chosen.whole)]
    why = "chosen by id: " if run_id else ""
    why += RANKS[chosen.rank] + (", the newest" if len(alike) > 1 and not run_id else "")
    others = [
        f"{one.parent[:_SHORT]} ({RANKS[one.rank]}, {one.done} of {one.total} runs)"
        for one in known
        if one.parent != own and one.done
    ]
    return own, f"{why}; others: {', '.join(others)}" if others else why


class _Candidate(NamedTuple):
    parent: str
    rank: int  # place in RANKS
    done: int
    total: int

    @property
    def whole(self) -> bool:
        """Whether all of its runs are finished."""
        return self.done == self.total


def _candidate(
    judge: Judge, parent: str, params: Mapping[str, str], runs: pd.DataFrame
) -> _Candidate:
    done = len(finished(runs)) if len(runs) else 0
    try:
        found = judge(runs) if done else [Difference("nothing yet", part=True)]
    except CreditError:  # it is said where it is told
        return _Candidate(parent, len(RANKS) - 1, done, len(runs))
    rank = 0 if not found else 2 if any(one.part for one in found) else 1
    if found and params.get("preset") == "quick":
        rank = 3
    return _Candidate(parent, rank, done, len(runs))
