"""Online conditioning scan: which estimator keeps up with a network that it trains itself?

First every arm with each warm-up and terminal weight on `scan_seeds`, then the best cell and dfa on
`seeds`. S1 = Γ − Γ_dfa and S2 = ρ − ρ_dfa are leads over dfa's run of the same seed. With
stale_steps > 0 the scan also measures what a moving network costs an estimator that stands still.

    python -m entrypoints.online_scan --preset reduced   # 28 runs of 10 epochs

Published (n = 1): credit_eT, warm-up .2: S1 +.079 (tgw 1), +.087 (tgw 4); vector field behind dfa.
"""

import pandas as pd

from credit.errors import CreditError
from credit.experiments._parts import choice, grids
from credit.experiments._parts.choice import BASELINE, STANDING, scan_seeds
from credit.experiments._parts.grids import STEP, beside, helps, rule_of
from credit.experiments._parts.scan import BRIDGES, cells_of, invalid_baseline, order_of
from credit.experiments._parts.staleness import (
    SERIES,
    lost,
    moment,
    staleness_table,
    with_staleness,
)
from credit.lab import AUTHORS, DIRECTION, Check, Factor, Frame, Options, Panel, Quantity, Reported
from credit.lab import quantities as q
from credit.lab.experiment import Checks, Experiment
from credit.lab.measure import each, value
from credit.lab.options import listed, product
from credit.lab.protocol import beyond_copy
from credit.lab.source import Source
from credit.lab.table import spreads
from credit.spec import RunSpec

TERMINAL = {"credit_bridge": "tgw", "vector_field": "terminal_weight"}
"""By rule, the field that `tgws` sets."""
ARMS = Factor(
    "arm",
    {
        **{rule: {"rule": rule} for rule in STANDING},
        **{arm: grids.ARMS[arm] for arm in BRIDGES},
        "vector_field": {"rule": "vector_field"},
    },
)
FACTORS = (
    ARMS,
    Factor(
        "warmup",
        of=lambda run: "" if run["rule"] in STANDING else float(run["warmup_ratio"]),
        sign="warm-up ",
        reads=("warmup_ratio",),
    ),
    Factor(
        "weight",
        of=lambda run: float(run[TERMINAL[run["rule"]]]) if run["rule"] in TERMINAL else "",
        sign="tgw ",
        reads=tuple(TERMINAL.values()),
    ),
)
"""Warm-up and weight are "" where an arm has none."""

ONLINE = {
    **grids.RELATIVE,
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
        **grids.QUICK_LEARNED,
        "width": "64",
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
STALE_CHECKS = {"credit_eT": "stale eT", "credit_deltaL": "stale deltaL"}
THEN = Quantity("choice/S1", "choice/S1", "S1 while dfa's reference was valid", "earlier than S1")


def scan(chosen: Options) -> list[RunSpec]:
    """Return arms x warmups x tgws on `scan_seeds`, every block trained.

    Raises:
        CreditError: dfa or an arm to compare with it is not among the arms.
    """
    arms = ARMS.chosen("arms", chosen["arms"])
    if BASELINE not in arms or len(arms) < 2:
        raise CreditError(f"arms={chosen['arms']} needs dfa and another: S1 is the lead over dfa")
    points = [{**ARMS[arm], **cell} for arm in arms for cell in settings_of(arm, chosen)]
    specs = product(chosen, points, seeds="scan_seeds")
    on_seeds(chosen, specs[0])  # a bad seed must not be found out after the scan
    return specs


def settings_of(arm: str, chosen: Options) -> list[dict[str, float]]:
    """Return the warm-ups and terminal weights that an arm is run with."""
    if arm in STANDING:
        return [{}]
    warmups, field = listed(chosen, "warmups", "warmup_ratio"), TERMINAL.get(rule_of(arm))
    weights = listed(chosen, "tgws", field) if field else [{}]
    return [{**warmup, **weight} for warmup in warmups for weight in weights]


def on_seeds(chosen: Options, cell: RunSpec) -> list[RunSpec]:
    """Return one cell of the scan and its dfa, on `seeds`."""
    base = product(chosen, [ARMS[BASELINE]])
    return [spec for dfa in base for spec in (dfa, cell.replace(seed=dfa.seed))]


def then(chosen: Options, runs: pd.DataFrame, source: Source) -> list[RunSpec]:
    """Return the best cell of the scan and its dfa on all seeds; none where no cell has a Γ."""
    seeds = [own["seed"] for own in listed(chosen, "scan_seeds", "seed")]
    known = choice.with_choice(runs, source.history(runs["run_id"], choice.KEYS))
    best = choice.choose(known, seeds)
    return on_seeds(chosen, best) if best else []


def with_leads(runs: pd.DataFrame, source: Source) -> pd.DataFrame:
    """Return the runs with their leads over dfa, what chooses a cell, and staleness."""
    history = source.history(runs["run_id"], sorted({*SERIES, *choice.KEYS}))
    found = with_staleness(choice.with_choice(runs, history), history)
    base = found.loc[(found["rule"] == BASELINE) & (found["status"] == "FINISHED")]
    learned = ~found["rule"].isin(STANDING)
    leads = {
        lead.name: (quantity.values(found) - beside(found, base, quantity)).round(12)
        for lead, quantity in LEADS.items()
    }
    return found.assign(**{name: own.where(learned) for name, own in leads.items()})


def checks(frame: Frame) -> Checks:
    """Return the checks on S1, the order, staleness, dfa's reference and the copy."""
    of = {arm: cells_of(frame, arm) for arm in frame.labels("arm") if arm not in STANDING}
    early = [cell for cell in of.get("credit_eT", []) if cell["warmup"] == WARMUP]
    ahead, behind = (
        each(own, lambda cell: value(cell, (S1, S1_INNER)))
        for own in (early, of.get("vector_field", []))
    )
    return [
        Check("S1 < 0", "vector_field", behind).below(0),
        Check("eT S1 > 0", "credit_bridge", ahead).above(0, strict=True),
        Check("order", "all", order_of).above(STEP),
        *(
            Check(STALE_CHECKS.get(arm, "stale"), rule_of(arm), each(own, lost)).above(
                STALE, strict=True
            )
            for arm, own in of.items()
        ),
        Check("baseline", BASELINE, invalid_baseline).below(0, strict=False),
        *(beyond_copy(arm, rule_of(arm), cells=own) for arm, own in of.items()),
    ]


def more(frame: Frame, _: Source) -> dict[str, pd.DataFrame]:
    """Return the best cell on all seeds and on those that did and did not choose it; staleness."""
    own = [cell for cell in frame.cells() if cell["arm"] != BASELINE]
    return {"best": best_table(frame), "staleness": staleness_table(frame, own)}


def best_table(frame: Frame) -> pd.DataFrame:
    """Return the numbers of the chosen cell: its leads are biased on the seeds that chose it."""
    asked = scan_seeds(frame.runs)
    best = choice.choose(frame.runs, asked)
    if best is None:
        return pd.DataFrame()
    cell = {factor.name: factor.label(vars(best)) for factor in FACTORS}
    own = frame.at(cell).loc[lambda runs: runs.index.isin(frame.done.index)]
    chose = own["seed"].isin(asked)
    parts, rows = {"all": own, "that chose it": own[chose], "that did not": own[~chose]}, []
    for name, part in parts.items():
        which = ", ".join(map(str, sorted(part["seed"])))
        row = {"cell": frame.name(cell), "seeds": name, "which": which}
        row |= spreads((*DIRECTION, q.COPY, q.COPY_INNER, q.RHO, q.ACCURACY, *LEADS), part)
        rows.append({**row, "n": len(part), "how": choice.how(frame.runs, asked)})
    return pd.DataFrame([row for row in rows if row["n"]])


CELL = ("arm", "warmup", "weight")
TGW_1, TGW_4 = (("credit_eT", 0.2, tgw) for tgw in (1.0, 4.0))
REPORTED = (
    (q.ACCURACY, CELL, {TGW_1: 0.283, TGW_4: 0.285}),
    (q.GAMMA, CELL, {TGW_1: 0.179, TGW_4: 0.187}),
    (q.RHO, CELL, {TGW_1: 0.009, TGW_4: 0.002}),
    (S1, CELL, {TGW_1: 0.079, TGW_4: 0.087}),
    (S2, CELL, {TGW_1: 0.014, TGW_4: 0.007}),
    (S1, (*CELL, "seed"), {(*TGW_1, 123): 0.059, (*TGW_1, 456): 0.135}),
    (q.ACCURACY, CELL[:2], {("vector_field", 0.2): 0.243}),
    (q.GAMMA, CELL[:2], {("vector_field", 0.2): 0.001}),
)
"""Quantity, factors and values; the vector field's terminal weight is not stated."""
SOURCE = f"{AUTHORS} (ResMLP d=256 L=4, CIFAR-10, 100 epochs, seed 42 unless named)"

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
        *(*DIRECTION, q.RHO, q.NUDGE, q.COPY, q.COPY_INNER, S1, S1_INNER, S2),
        *(q.ACCURACY, GAIN, q.FIT, THEN, *q.COSTS),
    ),
    checks=checks,
    more=more,
    figure=(
        *(Panel(one, x="warmup", by=("arm", "weight")) for one in (S1, q.BEYOND_COPY, GAIN)),
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
    options=helps(
        arms=f"what is compared, comma-separated, dfa among them: {', '.join(ARMS.levels)}",
        warmups="warm-up ratios, comma-separated",
        tgws="weights of the terminal term of credit bridge and vector field, comma-separated",
        scan_seeds="seeds of the scan, comma-separated",
        seeds="seeds of the best cell and its dfa, comma-separated",
    ),
    fixed=("rule", "k", "seed", "code", "warmup_ratio", "tgw", "terminal_weight"),
    reported=tuple(Reported(SOURCE, *own, {"width": 256, "depth": 4}) for own in REPORTED),
    caveats=(
        "The best cell is chosen on test samples: on the seeds that chose it its leads are biased "
        "upwards, and its numbers on the other seeds count.",
    ),
)
