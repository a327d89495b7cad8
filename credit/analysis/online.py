"""Online conditioning scan: what learned credit is worth while the network trains on it.

A cell is an arm at one warm-up and one weight of its terminal term (`tgw`: of the credit bridge
`tgw`, of the vector field `terminal_weight`; the state bridge has none, dfa neither). Every number
stands beside that of dfa's run of the same seed: S1 = Γ − Γ_dfa, S2 = ρ − ρ_dfa.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import pandas as pd

from credit.analysis import cost, reduction, wording
from credit.analysis.cells import COPY, QUANTITIES, formatted, spread, values
from credit.analysis.frozen import arm_of
from credit.analysis.online_choice import BASELINE, THEN, Choice, choose, same_warmups
from credit.analysis.selection import configuration, finished, metric, pick
from credit.spec import LEARNED_FIELDS

KIND = "online_scan"
CEILINGS = ("bp", "oracle")
"""What the gradient itself reaches, end to end and through the local surrogate."""
ARMS = (*CEILINGS, BASELINE, "state_bridge", "credit_eT", "credit_deltaL", "vector_field")
"""The order of arms in every table and figure; others follow by name."""
LEADS = {
    "s1": "S1",
    "s1_inner": "S1, l < L",
    "s2": "S2",
    "gain": "accuracy − dfa's",
}
"""Columns that compare a run with dfa's of its seed, and their headings."""
_OF = {"s1": "alignment", "s1_inner": "alignment_inner", "s2": "rho", "gain": "accuracy"}
_TERMINAL = {"credit_bridge": "tgw", "vector_field": "terminal_weight"}
_CELL = ("seed", "warmup_ratio", "tgw", "terminal_weight", "code")
_RULE_ONLY = (
    *("tau", "sigma", "sigma_relative", "draws", "ema", "field_directions", "field_eps"),
    *("one_sided", "shuffle", "estimator_relative"),
)
_COLUMNS = {
    **{name: head for name, head in QUANTITIES.items() if name not in ("nudge", "accuracy", "fit")},
    **COPY,
    **{name: head for name, head in LEADS.items() if name != "gain"},
    **{"accuracy": QUANTITIES["accuracy"], "gain": LEADS["gain"], "fit": QUANTITIES["fit"]},
}


class Cell(NamedTuple):
    """Which runs differ in their seed only; nan is what an arm does not have."""

    arm: str
    warmup: float
    tgw: float

    def __str__(self) -> str:
        parts = [self.arm]
        if self.warmup == self.warmup:
            parts.append(f"warm-up {self.warmup:g}")
        if self.tgw == self.tgw:
            parts.append(f"tgw {self.tgw:g}")
        return " ".join(parts)


def cell_of(run: Mapping[str, Any]) -> Cell:
    """The cell of a run."""
    rule, none = run["rule"], float("nan")
    arm = str(rule) if rule == "vector_field" else arm_of(run)
    warmup = float(run["warmup_ratio"]) if rule in wording.LEARNED else none
    return Cell(arm, warmup, float(run[_TERMINAL[rule]]) if rule in _TERMINAL else none)


def with_cells(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs with columns arm, warmup and weight ("" for none), cell (its name) and LEADS.

    A lead is nan where dfa has no finished run of the seed or one of the two is not valid, and of
    dfa itself.

    Raises:
        CreditError: there are no runs, or they differ in more than the seed and what makes a cell.
    """
    configuration(runs, vary=("rule", "seed", "stale_steps", *LEARNED_FIELDS))
    cells = [cell_of(run) for run in runs.to_dict("records")]
    named = runs.assign(
        arm=[cell.arm for cell in cells],
        warmup=[_text(cell.warmup) for cell in cells],
        weight=[_text(cell.tgw) for cell in cells],
        cell=list(map(str, cells)),
    )
    learned = named.loc[named["rule"].isin(wording.LEARNED)]
    if len(learned):
        configuration(learned.assign(rule="learned rules"), vary=(*_CELL, *_RULE_ONLY))
    for _, own in named.groupby("rule"):
        configuration(own, vary=_CELL)
    base = finished(pick(named, rule=BASELINE))
    for lead, quantity in _OF.items():
        theirs = dict(zip(sorted(base["seed"]), values(base, quantity), strict=True))
        named[lead] = float("nan")
        for _, own in learned.groupby("cell"):
            for (place, run), mine in zip(
                own.sort_values("seed").iterrows(), values(own, quantity), strict=True
            ):
                # rounded, because .6 - .5 is .1 and not .09999999999999998
                named.loc[place, lead] = round(mine - theirs.get(run["seed"], float("nan")), 12)
    return named.copy()  # one block of memory, from which rows are taken faster


def describe(runs: pd.DataFrame) -> str:
    """What all runs have in common, for a title, and in what they are not the published ones.

    Raises:
        CreditError: as `with_cells`.
    """
    config = configuration(runs, vary=("rule", "seed", "stale_steps", *LEARNED_FIELDS))
    parts = (
        f"{config['dataset']}, d={config['width']}, L={config['depth']}, k={config['k']}",
        wording.trained(config),
        wording.estimators(runs, code=False),
    )
    return reduction.told(", ".join(filter(None, parts)), KIND, with_cells(runs))


def table(runs: pd.DataFrame) -> pd.DataFrame:
    """Γ, ρ, accuracy and their leads over dfa, by cell.

    Args:
        runs: of `online_staleness.load`; without their costs these columns are nan.

    Returns:
        Columns arm, warmup, tgw (nan where an arm has none), cell; for each of `cells.QUANTITIES`,
        `cells.COPY`, LEADS and THEN its mean, `_sd` (ddof 1) and `_n` (valid seeds); n (finished
        runs); `cost.COUNTED`; settings (`reduction.settings` of all runs).

    Raises:
        CreditError: as `with_cells`.
    """
    named = with_cells(runs)
    done, rows = finished(named), []
    label = reduction.settings(KIND, named)
    for cell in cells_of(named):
        own = pick(done, cell=str(cell))
        row: dict[str, Any] = {**cell._asdict(), "cell": str(cell), "n": len(own)}
        for quantity in (*QUANTITIES, *COPY):
            row |= spread(quantity, values(own, quantity))
        for lead in (*LEADS, THEN):
            row |= spread(lead, metric(own, lead))
        rows.append(row | cost.counted(own) | {"settings": label})
    return pd.DataFrame(rows)


def wide(table: pd.DataFrame) -> pd.DataFrame:
    """The table as strings, for Markdown and the terminal."""
    then = {THEN: "S1 while dfa's reference was valid"} if table[THEN].notna().any() else {}
    cells = pd.concat([formatted(table, {**_COLUMNS, **then}), cost.counts(table)], axis=1)
    if (table["settings"] != reduction.PUBLISHED).any():
        cells["settings"] = table["settings"].tolist()
    return pd.concat([place_columns(table), cells], axis=1)


def place_columns(table: pd.DataFrame) -> pd.DataFrame:
    """Arm, warm-up and tgw of a table's cells as strings."""
    shown = {
        head: [_text(v) for v in table[name]]
        for name, head in (("warmup", "warm-up"), ("tgw", "tgw"))
    }
    return pd.DataFrame({"arm": table["arm"].tolist(), **shown})


def best_table(runs: pd.DataFrame) -> pd.DataFrame:
    """The chosen cell (`online_choice.choose`), on all seeds and on two parts of them.

    Test samples chose it, as the largest of many, so that on the seeds that chose it its leads are
    biased upwards.

    Returns:
        A row each for "all", "that chose it" and "that did not": cell, seeds, which; alignment,
        rho, accuracy and LEADS with `_sd` and `_n`; n; how (it was chosen, in words). No rows where
        no cell can be chosen.

    Raises:
        CreditError: as `with_cells`.
    """
    named = with_cells(runs)
    choice = chosen_cell(named)
    chosen = "" if choice.cell is None else str(cell_of(vars(choice.cell)))
    own = finished(pick(named, cell=chosen))
    chose = own["seed"].isin([seed for seed, _ in choice.epochs])
    rows = []
    for which, part in (("all", own), ("that chose it", own[chose]), ("that did not", own[~chose])):
        row: dict[str, Any] = {"cell": chosen, "seeds": which}
        row["which"] = ", ".join(str(seed) for seed in sorted(part["seed"]))
        for name in ("alignment", "alignment_inner", *COPY, "rho", "accuracy"):
            row |= spread(name, values(part, name))
        for name in LEADS:
            row |= spread(name, metric(part, name))
        rows.append(row | {"n": len(part), "how": choice.how})
    found = pd.DataFrame(rows)
    return found if chosen else found.iloc[:0]


def wide_best(table: pd.DataFrame) -> pd.DataFrame:
    """The table of `best_table` as strings."""
    heads = {name: head for name, head in _COLUMNS.items() if name != "fit"}
    return pd.concat([table[["cell", "seeds", "which"]], formatted(table, heads)], axis=1)


def notes(runs: pd.DataFrame, best: pd.DataFrame) -> tuple[str, ...]:
    """What stands below the table: the best cell, how it was chosen, and what is not known.

    Args:
        best: of `best_table` for the same runs.

    Raises:
        CreditError: as `with_cells`.
    """
    first = "reported: n/a (of this scan no value was reported)"
    if best.empty:
        return (first, f"best cell: {chosen_cell(with_cells(runs)).how}")
    how = (
        f"best cell: {best['cell'].iloc[0]}, {best['how'].iloc[0]}; what chose it "
        "is measured on test samples: on the seeds that chose it its leads are biased upwards"
    )
    same = [text] if (text := same_warmups(runs)) else []
    return (first, how, *same, wide_best(best).to_string(index=False))


def chosen_cell(named: pd.DataFrame) -> Choice:
    """What the scan chooses, on the seeds that it has every cell on."""
    return choose(named, scan_seeds(named))


def scan_seeds(named: pd.DataFrame) -> list[int]:
    """The seeds on which every cell of a learned rule was run."""
    learned = named.loc[named["arm"] != BASELINE]
    by_cell = [set(own["seed"].astype(int)) for _, own in learned.groupby("cell")]
    return sorted(set.intersection(*by_cell)) if by_cell else []


def cells_of(named: pd.DataFrame) -> list[Cell]:
    """Each cell once: by arm, warm-up and weight."""
    known = {str(cell): cell for cell in map(cell_of, named.to_dict("records"))}
    arms = in_order(cell.arm for cell in known.values())
    return sorted(known.values(), key=lambda c: (arms.index(c.arm), str(c.warmup), c.tgw))


def in_order(arms: Iterable[str]) -> list[str]:
    """Each arm once, in the order of ARMS; others follow by name."""
    known = set(arms)
    return [arm for arm in ARMS if arm in known] + sorted(known - set(ARMS))


def _text(value: float) -> str:
    """A setting; empty for nan."""
    return "" if pd.isna(value) else f"{value:g}"
