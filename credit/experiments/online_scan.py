"""Online conditioning scan: which estimator keeps up with a network that it trains itself?

First every arm with each warm-up and terminal weight on `scan_seeds`, then the best cell and dfa on
`seeds`. S1 = Γ − Γ_dfa and S2 = ρ − ρ_dfa are leads over dfa's run of the same seed. With
stale_steps > 0 the scan also measures what a moving network costs an estimator that stands still.

    python -m entrypoints.online_scan --preset reduced   # 28 runs of 10 epochs

Published (n = 1): credit_eT at warm-up .2 has S1 +.079 (tgw 1) and +.087 (tgw 4); the vector field
is behind dfa.
"""

import itertools
from collections.abc import Mapping
from statistics import fmean
from typing import Any

import pandas as pd

from credit.errors import CreditError
from credit.experiments._choice import BASELINE, KEYS, choose, scan_seeds, with_choice
from credit.experiments._staleness import SERIES, lost, moment, staleness_table, with_staleness
from credit.experiments.frozen_recovery import ARMS as FROZEN_ARMS
from credit.experiments.frozen_recovery import STEP, rule_of
from credit.lab import (
    DIRECTION,
    Check,
    Experiment,
    Factor,
    Found,
    Frame,
    Options,
    Panel,
    Quantity,
    Sample,
    Undecided,
    depth_of,
    each,
    fields,
    numbers,
    reals,
    value,
)
from credit.lab import quantities as q
from credit.lab.experiment import Checks
from credit.lab.protocol import beyond_copy
from credit.lab.source import Source
from credit.lab.table import spread
from credit.spec import RunSpec

TERMINAL = {"credit_bridge": "tgw", "vector_field": "terminal_weight"}
"""By rule, the field that `tgws` sets."""
FROZEN = ("dfa", "state_bridge", "credit_eT", "credit_deltaL")
ARMS = Factor(
    "arm",
    {
        "bp": {"rule": "bp"},
        "oracle": {"rule": "oracle"},
        **{
            name: FROZEN_ARMS[name]
            for name in ("dfa", "state_bridge", "credit_eT", "credit_deltaL")
        },
        "vector_field": {"rule": "vector_field"},
    },
)
STANDING = ("bp", "oracle", BASELINE)
"""Arms that learn no credit: they have no warm-up."""


def warmup_of(run: Mapping[str, Any]) -> float | str:
    """Return a run's warm-up ratio, "" where its arm has none."""
    return "" if run["rule"] in STANDING else float(run["warmup_ratio"])


def tgw_of(run: Mapping[str, Any]) -> float | str:
    """Return the weight of a run's terminal term, "" where its arm has none."""
    return float(run[TERMINAL[run["rule"]]]) if run["rule"] in TERMINAL else ""


FACTORS = (
    ARMS,
    Factor("warmup", of=warmup_of, sign="warm-up ", reads=("warmup_ratio",)),
    Factor("weight", of=tgw_of, sign="tgw ", reads=tuple(TERMINAL.values())),
)

ONLINE = {
    "estimator_relative": "true",
    "sigma_relative": "true",
    "arms": ",".join(ARMS.levels),
    "warmups": "0,0.05,0.2",
    "tgws": "1,4",
    "scan_seeds": "42",
    "seeds": "42,123,456",
    "stale_steps": "50",
    "measure_every": "10",
    "width": "256",
    "depth": "4",
}
PRESETS = {
    "published": ONLINE,
    "reduced": {
        **ONLINE,
        "epochs": "10",
        "warmups": "0,0.1,0.2",
        "train_samples": "20000",
        "measure_every": "1",  # what is lost is lost in the first epochs
        "directions": "8",
    },
    "quick": {
        **ONLINE,
        "width": "64",
        "epochs": "4",
        "train_samples": "5000",
        "measure_samples": "512",
        "directions": "8",
        "measure_every": "4",
        "estimator_width": "64",
        "warmups": "0,0.25",  # of 4 epochs
        "seeds": "42,123",
        "stale_steps": "10",  # an epoch of `digits` has 12
    },
}

WARMUP, STALE = 0.2, 0.20
"""At WARMUP the credit bridge told eT is expected ahead of dfa. STALE: the estimator learns at
every step, so that it lags behind by a part of an epoch only; if a whole epoch without learning
cost less than a fifth, staleness could not be what takes the field's lead. Both were fixed before
any number was seen."""
S1 = Quantity("s1", "s1", "S1", "Γ minus dfa's of the same seed", axis="difference in Γ")
S1_INNER = Quantity("s1_inner", "s1_inner", "S1, l < L", "the same without h_L")
S2 = Quantity("s2", "s2", "S2", "ρ minus dfa's of the same seed", axis="difference in ρ")
GAIN = Quantity(
    "gain",
    "gain",
    "accuracy − dfa's",
    "test accuracy minus dfa's of the same seed",
    axis="fraction",
)
LEADS = {S1: q.GAMMA, S1_INNER: q.GAMMA_INNER, S2: q.RHO, GAIN: q.ACCURACY}
THEN = Quantity("choice/S1", "choice/S1", "S1 while dfa's reference was valid", "earlier than S1")


def scan(chosen: Options) -> list[RunSpec]:
    """Return arms x warmups x tgws on `scan_seeds`, every block trained.

    Raises:
        CreditError: an option is not valid; dfa or an arm to compare with it is not among the arms.
    """
    arms = ARMS.chosen("arms", chosen["arms"])
    if BASELINE not in arms or len(arms) < 2:
        raise CreditError(f"arms={chosen['arms']} needs dfa and another: S1 is the lead over dfa")
    specs = [
        run(chosen, {**ARMS[arm], **cell}, seed)
        for seed in numbers("scan_seeds", chosen["scan_seeds"], "seed")
        for arm in arms
        for cell in settings_of(arm, chosen)
    ]
    on_seeds(chosen, specs[0])  # a bad seed must not be found out after the scan
    return specs


def settings_of(arm: str, chosen: Options) -> list[dict[str, float]]:
    """Return the warm-ups and terminal weights that an arm is run with."""
    if arm in STANDING:
        return [{}]
    warmups = [{"warmup_ratio": r} for r in reals("warmups", chosen["warmups"], "warmup_ratio")]
    name = TERMINAL.get(rule_of(arm))
    if name is None:
        return warmups
    weights = reals("tgws", chosen["tgws"], name)
    return [{**warmup, name: weight} for warmup in warmups for weight in weights]


def run(chosen: Options, changes: Mapping[str, Any], seed: int) -> RunSpec:
    """Return one run of the scan."""
    common = fields(chosen)
    return RunSpec.from_mapping({**common, "k": depth_of(common), **changes, "seed": seed})


def on_seeds(chosen: Options, cell: RunSpec) -> list[RunSpec]:
    """Return one cell of the scan and its dfa, on `seeds`."""
    return [
        spec
        for seed in numbers("seeds", chosen["seeds"], "seed")
        for spec in (run(chosen, ARMS[BASELINE], seed), cell.replace(seed=seed))
    ]


def then(chosen: Options, runs: pd.DataFrame, source: Source) -> list[RunSpec]:
    """Return the best cell of the scan and its dfa on all seeds; none where no cell has a Γ."""
    seeds = numbers("scan_seeds", chosen["scan_seeds"])
    known = with_choice(runs, source.history(runs["run_id"], KEYS), STANDING)
    best = choose(known, seeds, STANDING).cell
    return on_seeds(chosen, best) if best else []


def with_leads(runs: pd.DataFrame, source: Source) -> pd.DataFrame:
    """Return the runs with their leads over dfa, what chooses a cell, and staleness."""
    history = source.history(runs["run_id"], sorted({*SERIES, *KEYS}))
    found = with_staleness(with_choice(runs, history, STANDING), history)
    base = found.loc[(found["rule"] == BASELINE) & (found["status"] == "FINISHED")]
    learned = ~found["rule"].isin(STANDING)
    leads = {}
    for lead, quantity in LEADS.items():
        theirs = dict(zip(base["seed"], quantity.values(base), strict=True))
        own = quantity.values(found) - found["seed"].map(theirs).astype(float)
        leads[lead.name] = own.round(12).where(learned)
    return found.assign(**leads)


def cells_of(frame: Frame, arm: str) -> list[dict[str, Any]]:
    """Return the cells of an arm, by warm-up and weight."""
    names = ["arm", "warmup", "weight"]
    own = frame.runs.loc[frame.runs["arm"] == arm, names].drop_duplicates().to_dict("records")
    return sorted(own, key=lambda cell: (str(cell["warmup"]), str(cell["weight"])))


def order_of(frame: Frame) -> Found:
    """Return by how much Γ of an arm is above that of one that precedes it on a frozen network.

    Each arm stands for its cell with the largest Γ. The largest of all such leads counts.
    """
    expected = ("vector_field", "state_bridge", "credit_eT", "credit_deltaL", BASELINE)
    scanned = set(scan_seeds(frame.runs, STANDING))
    gammas = {}
    for arm in expected:
        own = []
        for cell in cells_of(frame, arm):
            known = frame.sample(cell, q.GAMMA)
            own.append(fmean(v for seed, v in known.items() if seed in scanned))
        if own:
            gammas[arm] = max(own)
    if len(gammas) < 3:
        raise Undecided(f"only {', '.join(gammas) or 'none'} of the arms were run")
    ahead = {
        f"{below} before {above}": round(gammas[below] - gammas[above], 12)
        for above, below in itertools.combinations(gammas, 2)
    }
    pair = max(ahead, key=lambda name: ahead[name])
    return {pair: [Sample(q.GAMMA, {None: ahead[pair]}, "+", len(scanned))]}


def invalid_baseline(frame: Frame) -> Found:
    """Return on how many seeds dfa's reference is not valid at the last epoch."""
    own = frame.done.loc[frame.done["rule"] == BASELINE]
    if own.empty:
        raise Undecided("dfa has no finished run")
    lost = Quantity("lost", "", "seeds without a valid reference of dfa", "", ".0f")
    return {"": [Sample(lost, {None: float(q.GAMMA.values(own).isna().sum())}, "", len(own))]}


def checks(frame: Frame) -> Checks:
    """Return the checks on S1, the order, staleness, dfa's reference and the copy."""
    learned = [arm for arm in frame.labels("arm") if arm not in STANDING]
    early = [c for c in cells_of(frame, "credit_eT") if c["warmup"] == WARMUP]
    fields_ = cells_of(frame, "vector_field")
    stale = {
        arm: f"stale {arm.removeprefix('credit_')}" if arm.startswith("credit_") else "stale"
        for arm in learned
    }
    leads = (S1, S1_INNER)
    return [
        Check("S1 < 0", "vector_field", each(fields_, lambda c: value(c, leads))).below(0),
        Check("eT S1 > 0", "credit_bridge", each(early, lambda c: value(c, leads))).above(
            0, strict=True
        ),
        Check("order", "all", order_of).above(STEP),
        *(
            Check(name, rule_of(arm), each(cells_of(frame, arm), lost)).above(STALE, strict=True)
            for arm, name in stale.items()
        ),
        Check("baseline", BASELINE, invalid_baseline).below(0, strict=False),
        *(beyond_copy(arm, rule_of(arm), cells=cells_of(frame, arm)) for arm in learned),
    ]


def more(frame: Frame, _: Source) -> dict[str, pd.DataFrame]:
    """Return the best cell on all seeds and on those that did and did not choose it; staleness."""
    arms = [arm for arm in frame.labels("arm") if arm != BASELINE]
    cells = [cell for arm in arms for cell in cells_of(frame, arm)]
    return {"best": best_table(frame), "staleness": staleness_table(frame, cells)}


def best_table(frame: Frame) -> pd.DataFrame:
    """Return the numbers of the chosen cell: its leads are biased on the seeds that chose it."""
    asked = scan_seeds(frame.runs, STANDING)
    choice = choose(frame.runs, asked, STANDING)
    if choice.cell is None:
        return pd.DataFrame()
    cell = {f.name: f.label(vars(choice.cell)) for f in FACTORS}
    own = frame.at(cell).loc[lambda runs: runs.index.isin(frame.done.index)]
    parts = {"all": own, "that chose it": own.loc[own["seed"].isin(asked)]}
    if len(rest := own.loc[~own["seed"].isin(asked)]):
        parts["that did not"] = rest
    rows = []
    for name, part in parts.items():
        which = ", ".join(map(str, sorted(part["seed"])))
        row = {"cell": frame.name(cell), "seeds": name, "which": which}
        for quantity in (*DIRECTION, q.COPY, q.COPY_INNER, q.RHO, q.ACCURACY, *LEADS):
            row |= spread(quantity, quantity.values(part))
        rows.append({**row, "n": len(part), "how": choice.how})
    return pd.DataFrame(rows)


EXPERIMENT = Experiment(
    kind="online_scan",
    title="Online conditioning scan",
    question="Which estimator keeps up with a network that trains on its credit?",
    factors=FACTORS,
    presets=PRESETS,
    grid=scan,
    then=then,
    prepare=with_leads,
    columns=(
        *DIRECTION,
        q.RHO,
        q.NUDGE,
        q.COPY,
        q.COPY_INNER,
        S1,
        S1_INNER,
        S2,
        q.ACCURACY,
        GAIN,
        q.FIT,
        THEN,
        *q.COSTS,
    ),
    checks=checks,
    more=more,
    figure=(
        Panel(S1, x="warmup", by=("arm", "weight")),
        Panel(S2, x="warmup", by=("arm", "weight")),
        Panel(GAIN, x="warmup", by=("arm", "weight")),
        Panel(
            q.GAMMA,
            x={
                "now": moment("now"),
                "50 steps later": moment("steps"),
                "an epoch later": moment("epoch"),
                "up to date": moment("fresh"),
            },
            by=("arm", "weight"),
            across="warmup",
            say="Γ of an epoch's first estimator",
            below=True,
        ),
    ),
    options={
        "arms": f"what is compared, comma-separated, dfa among them: {', '.join(ARMS.levels)}",
        "warmups": "warm-up ratios, comma-separated",
        "tgws": "weights of the terminal term of credit bridge and vector field, comma-separated",
        "scan_seeds": "seeds of the scan, comma-separated",
        "seeds": "seeds of the best cell and its dfa, comma-separated",
    },
    fixed=("rule", "k", "seed", "code", "warmup_ratio", "tgw", "terminal_weight"),
    caveats=(
        "The best cell is chosen on test samples: on the seeds that chose it its leads are biased "
        "upwards, and its numbers on the other seeds count.",
    ),
)
