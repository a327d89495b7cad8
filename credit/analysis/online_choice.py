"""Which cell of the online conditioning scan goes on to more seeds.

The best is the one with the highest S1 = Γ − Γ_dfa of the same seed, where Γ is `alignment/deep`;
of equals the one with the higher S2 = ρ − ρ_dfa, and of these the one with fewer settings of its
own. Cells are compared at one epoch per seed: the last measured one at which dfa's reference
gradient is valid, if every warm-up of the scan is over by then, because a cell's network trains on
dfa's credit before. As a rule that is the last epoch. Where dfa's network grows until its gradient
is rounding it is an earlier one; seeds on which there is none do not choose.

Without any such seed there is no S1. Then Γ itself chooses, of equals ρ, both at the last epoch.
Nothing in that choice says that a cell is ahead of dfa, and whoever shows it must say so.

Both are measured on held-out samples, which are test samples: the choice is one of the largest of
many, and its S1 on the seeds that chose it is biased upwards. So the chosen cell's value over all
seeds is to be read beside its value on the seeds that did not choose it. Accuracy on the test set
takes no part.
"""

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import pandas as pd

from credit.analysis.cells import leads
from credit.analysis.selection import IRRELEVANT, finished, pick
from credit.analysis.wording import LEARNED
from credit.spec import RunSpec, field_types, warmup_epochs

BASELINE = "dfa"
SCORES = {"S1": "alignment/deep", "S2": "rho/deep"}
"""What is measured against dfa's, by the name of the lead."""
VALID = "valid/reference"
KEYS = (*SCORES.values(), VALID)
"""The series that `with_choice` needs."""
PLAIN = ("Γ", "ρ")
"""What chooses where nothing can be measured against dfa's."""
EPOCH = "choice/epoch"
"""Column of `with_choice`: the epoch at which cells of a run's seed are compared; nan for none."""
THEN = "choice/S1"
"""Column of `with_choice`: S1 at that epoch, of runs at whose last epoch dfa's is not valid."""


class Choice(NamedTuple):
    """What the scan chooses, and how."""

    cell: RunSpec | None  # with one of the seeds; None where no cell can be chosen
    by: str = ""  # "S1", or "Γ" where dfa has no valid reference
    epochs: tuple[tuple[int, int], ...] = ()  # by seed: at which the cells were compared
    last: bool = True  # whether that was the last epoch of every seed

    @property
    def how(self) -> str:
        """In words, for notes and verdicts: "the highest S1 on seed 42"."""
        if self.cell is None:
            return "none can be chosen: dfa or the cells have no finished run with a valid Γ yet"
        seeds = ", ".join(str(seed) for seed, _ in self.epochs)
        if self.by == "Γ":
            return (
                f"the highest Γ itself on seed {seeds}, because dfa's reference is valid at no "
                "measured epoch after the warm-ups: no lead over dfa is known"
            )
        if self.last:
            return f"the highest S1 on seed {seeds}"
        when = ", ".join(f"epoch {epoch} on seed {seed}" for seed, epoch in self.epochs)
        return f"the highest S1 at the last epoch with a valid reference of dfa, {when}"

    @property
    def words(self) -> str:
        """The cell's run name and how it was chosen."""
        return f"{self.cell.name}, {self.how}" if self.cell else self.how


def with_choice(runs: pd.DataFrame, history: pd.DataFrame) -> pd.DataFrame:
    """The runs with EPOCH, THEN, and Γ and ρ at that epoch as `choice/` and the metric's name.

    Args:
        runs: of `Reader.runs`, of one scan.
        history: of `Reader.history` for them, with KEYS among its keys.
    """
    known = history.loc[history["key"].isin(KEYS)].drop_duplicates(
        ["run_id", "key", "step"], keep="last"
    )
    series = known.pivot(index=["run_id", "step"], columns="key", values="value")
    series = series.reindex(columns=list(KEYS)).reset_index()
    # a number only: alignment is absent where the reference is at its floor
    series = series.loc[series[SCORES["S1"]].notna() & (series[VALID] != 0)]
    base = series.merge(finished(pick(runs, rule=BASELINE))[["run_id", "seed"]], on="run_id")
    epochs = base.loc[base["step"] > _longest_warmup(runs)].groupby("seed")["step"].max()
    found = runs.assign(**{EPOCH: runs["seed"].map(epochs).astype(float)})
    at = series.set_index(["run_id", "step"])
    places = list(zip(found["run_id"], found[EPOCH], strict=True))
    for key in SCORES.values():
        own = at[key].to_dict()
        found[f"choice/{key}"] = [own.get(place, math.nan) for place in places]
    gamma = f"choice/{SCORES['S1']}"
    theirs = found["seed"].map(_baseline(found).set_index("seed")[gamma])
    early = found["rule"].isin(LEARNED) & (found[EPOCH] < found["epochs"])
    return found.assign(**{THEN: (found[gamma] - theirs).round(12).where(early)})


def scored(runs: pd.DataFrame, seeds: Iterable[int]) -> pd.DataFrame:
    """The cells of a scan that can be chosen, best first.

    A cell is what finished runs of a rule that learns have in common but for the seed. It can be
    chosen if its Γ is valid at the last epoch and where cells are compared, on every one of `seeds`
    that chooses.

    Args:
        runs: of `with_choice`; without its columns the last epoch is the only one that is known.
        seeds: those that choose; runs of others do not count.

    Returns:
        one row per cell: every RunSpec field, `seed` that of one of its runs, then S1 and S2 (nan
        without a valid dfa, or ρ), Γ and ρ at the last epoch, all means over the seeds, and n, how
        many these are. No rows where dfa has no finished or failed run.
    """
    runs = _compared(runs.loc[runs["seed"].isin(list(seeds))])
    base, cells = _baseline(runs), _candidates(runs)
    asked = set(base["seed"]) or set(cells["seed"])
    if not _has_baseline(runs):
        cells = cells.iloc[:0]
    names = [name for name in field_types() if name not in IRRELEVANT | {"seed"}]
    rows: list[dict[str, Any]] = []
    for _, own in cells.groupby(names, sort=False):
        own = own.loc[own["seed"].isin(asked)].sort_values("seed")
        paired = own.merge(base, on="seed", suffixes=("", "_dfa")) if len(base) else own
        if len(paired) < len(asked) or (
            len(base) and paired[f"choice/{SCORES['S1']}"].isna().any()
        ):
            continue
        fields = {name: own[name].iloc[0] for name in field_types()}
        gammas = {name: _mean(own, key) for name, key in zip(PLAIN, SCORES.values(), strict=True)}
        rows.append({**fields, **_leads(paired), **gammas, "n": len(paired)})
    table = pd.DataFrame(rows, columns=[*field_types(), *SCORES, *PLAIN, "n"])
    defaults = RunSpec()
    own = [[str(row[n]) for n in names if row[n] != getattr(defaults, n)] for row in rows]
    table = table.assign(changed=list(map(len, own)), own=list(map(str, own)))
    table = table.sort_values(["changed", "own"], kind="stable")  # equals in an order of their own
    table = table.drop(columns=["changed", "own"])
    by = list(SCORES if len(base) else PLAIN)
    return table.sort_values(by, ascending=False, kind="stable", ignore_index=True)


def choose(runs: pd.DataFrame, seeds: Iterable[int]) -> Choice:
    """The cell that the scan chooses, and how. Arguments as of `scored`."""
    seeds = list(seeds)
    table = scored(runs, seeds)
    if table.empty:
        return Choice(None)
    cell = RunSpec.from_mapping({name: _plain(table[name].iloc[0]) for name in field_types()})
    base = _baseline(_compared(runs.loc[runs["seed"].isin(seeds)]))
    if base.empty:
        own = runs.loc[runs["seed"].isin(seeds) & runs["rule"].isin(LEARNED), "seed"]
        return Choice(cell, "Γ", tuple((int(seed), cell.epochs) for seed in sorted(set(own))))
    epochs = tuple(zip(base["seed"].astype(int), base[EPOCH].astype(int), strict=True))
    return Choice(cell, "S1", epochs, all(epoch == cell.epochs for _, epoch in epochs))


def best(runs: pd.DataFrame, seeds: Iterable[int]) -> RunSpec | None:
    """The cell of `choose`."""
    return choose(runs, seeds).cell


def same_warmups(runs: pd.DataFrame) -> str:
    """A sentence on warm-ups that come to the same number of epochs, or ""."""
    learned = runs.loc[runs["rule"].isin(LEARNED), ["warmup_ratio", "epochs"]]
    by_epochs: dict[tuple[int, int], set[float]] = {}
    for ratio, epochs in learned.drop_duplicates().itertuples(index=False):
        by_epochs.setdefault((warmup_epochs(ratio, int(epochs)), int(epochs)), set()).add(
            float(ratio)
        )
    parts = [
        f"warm-ups {' and '.join(f'{ratio:g}' for ratio in sorted(own))} of {epochs} epochs are "
        f"{warm} epochs alike, so that their cells repeat each other"
        for (warm, epochs), own in by_epochs.items()
        if len(own) > 1
    ]
    return f"{'; '.join(parts).capitalize()}." if parts else ""


def _compared(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs with the columns of `with_choice`; without them those of the last epoch."""
    if EPOCH in runs:
        return runs
    last = {f"choice/{key}": runs.get(key, math.nan) for key in SCORES.values()}
    found = runs.assign(**{EPOCH: runs["epochs"].astype(float)}, **last)
    if VALID in runs:
        found.loc[runs[VALID] == 0, list(last)] = math.nan
    return found


def _baseline(runs: pd.DataFrame) -> pd.DataFrame:
    """dfa's run of each seed that chooses."""
    base = finished(pick(runs, rule=BASELINE), having=f"choice/{SCORES['S1']}")
    return base.sort_values("seed").drop_duplicates("seed", keep="last")


def _has_baseline(runs: pd.DataFrame) -> bool:
    """Whether dfa has ended, so that it will not become valid later."""
    return bool(pick(runs, rule=BASELINE)["status"].isin(["FINISHED", "FAILED"]).any())


def _candidates(runs: pd.DataFrame) -> pd.DataFrame:
    own = finished(runs.loc[runs["rule"].isin(LEARNED)], having=SCORES["S1"])
    return own.loc[own[VALID] != 0] if VALID in own else own


def _longest_warmup(runs: pd.DataFrame) -> int:
    learned = runs.loc[runs["rule"].isin(LEARNED)]
    pairs = zip(learned["warmup_ratio"], learned["epochs"], strict=True)
    # after the last epoch no cell is compared: that it trained by dfa throughout is its setting
    return max((min(warmup_epochs(*pair), pair[1] - 1) for pair in pairs), default=0)


def _leads(paired: pd.DataFrame) -> dict[str, float]:
    found = {}
    for name, key in SCORES.items():
        mine, theirs = f"choice/{key}", f"choice/{key}_dfa"
        known = mine in paired and theirs in paired
        own = leads(paired[mine].tolist(), paired[theirs].tolist()) if known else []
        found[name] = sum(own) / len(own) if own else math.nan
    return found


def _mean(runs: pd.DataFrame, key: str) -> float:
    return float(runs[key].mean(skipna=False)) if key in runs else math.nan


def _plain(value: Any) -> Any:
    """A numpy scalar as Python's own."""
    return value.item() if hasattr(value, "item") else value
