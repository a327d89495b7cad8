"""Which cell of the online conditioning scan goes on to more seeds.

The best is the one with the highest S1 = Γ − Γ_dfa of the same seed, where Γ is `alignment/deep` at
the last epoch; of equals the one with the higher S2 = ρ − ρ_dfa, and of these the one with fewer
settings of its own. Both are measured on held-out samples, which are test samples: the choice is
one of the largest of many, and its S1 on the seeds that chose it is biased upwards. So the chosen
cell's value over all seeds is to be read beside its value on the seeds that did not choose it.
Accuracy on the test set takes no part.
"""

import math
from collections.abc import Iterable
from typing import Any

import pandas as pd

from credit.analysis.cells import leads
from credit.analysis.selection import IRRELEVANT, finished, pick
from credit.analysis.wording import LEARNED
from credit.spec import RunSpec, field_types

BASELINE = "dfa"
SCORES = {"S1": "alignment/deep", "S2": "rho/deep"}
"""What is measured against dfa's, by the name of the lead."""


def scored(runs: pd.DataFrame, seeds: Iterable[int]) -> pd.DataFrame:
    """The cells of a scan that can be chosen, best first.

    A cell is what finished runs of a rule that learns have in common but for the seed. It can be
    chosen if its reference and Γ are valid on every one of `seeds` on which dfa's are.

    Args:
        runs: as `Reader.runs` returns them, of one scan.
        seeds: those that choose; runs of others do not count.

    Returns:
        one row per cell: every RunSpec field, `seed` that of one of its runs, then S1 and S2, their
        means over the seeds, and n, how many these are. S2 is nan where a ρ is not valid. No rows
        where dfa has no valid run.
    """
    # a number only: alignment is absent where the reference is at its floor
    runs = finished(runs.loc[runs["seed"].isin(list(seeds))], having=SCORES["S1"])
    if "valid/reference" in runs:
        runs = runs.loc[runs["valid/reference"] != 0]
    base = pick(runs, rule=BASELINE).sort_values("seed").drop_duplicates("seed", keep="last")
    names = [name for name in field_types() if name not in IRRELEVANT | {"seed"}]
    rows: list[dict[str, Any]] = []
    for _, own in runs.loc[runs["rule"].isin(LEARNED)].groupby(names, sort=False):
        paired = own.merge(base, on="seed", suffixes=("", "_dfa")).sort_values("seed")
        if base.empty or len(paired) < len(base):
            continue
        fields = {name: own[name].iloc[0] for name in field_types()}
        rows.append({**fields, **_leads(paired), "n": len(paired)})
    table = pd.DataFrame(rows, columns=[*field_types(), *SCORES, "n"])
    defaults = RunSpec()
    own = [[str(row[n]) for n in names if row[n] != getattr(defaults, n)] for row in rows]
    table = table.assign(changed=list(map(len, own)), own=list(map(str, own)))
    table = table.sort_values(["changed", "own"], kind="stable")  # equals in an order of their own
    table = table.drop(columns=["changed", "own"])
    return table.sort_values(list(SCORES), ascending=False, kind="stable", ignore_index=True)


def best(runs: pd.DataFrame, seeds: Iterable[int]) -> RunSpec | None:
    """The cell that the scan chooses, with one of the seeds; None where no cell can be chosen."""
    table = scored(runs, seeds)
    if table.empty:
        return None
    return RunSpec.from_mapping({name: _plain(table[name].iloc[0]) for name in field_types()})


def _leads(paired: pd.DataFrame) -> dict[str, float]:
    found = {}
    for name, key in SCORES.items():
        known = key in paired and f"{key}_dfa" in paired
        own = leads(paired[key].tolist(), paired[f"{key}_dfa"].tolist()) if known else []
        found[name] = sum(own) / len(own) if own else math.nan
    return found


def _plain(value: Any) -> Any:
    """A numpy scalar as Python's own."""
    return value.item() if hasattr(value, "item") else value
