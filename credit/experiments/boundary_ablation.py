"""Boundary ablation: what the credit bridge owes to its code, its terminal term and its warm-up.

One knob at a time round a base: the code, the weight of terminal gradient matching, the warm-up,
and the warm-up once more with another code. A run at a point of several sweeps is trained once.

    python -m entrypoints.boundary_ablation --preset quick   # 11 runs, 30 s of one CPU core
    python -m entrypoints.boundary_ablation                  # 39 runs of 80 epochs: 30 min

Expected: deltaL leads; h_L in the code destroys Γ, not accuracy; Γ grows with tgw; a longer warm-up
trades Γ for accuracy.

Published (L = 4), Γ: .562 deltaL, .452 eT, .002 with h_L beside it; .12, .46 and .57 at tgw 0, 1
and 4; .68 and .23 at warm-up 0 and .5.
"""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from credit.errors import CreditError
from credit.experiments._parts import teacher_student as teacher
from credit.experiments._parts.grids import along, helps
from credit.experiments._parts.teacher_student import CREDIT, fitted
from credit.lab import DIRECTION, Check, Factor, Frame, Options, Panel, Quantity, Reported
from credit.lab import quantities as q
from credit.lab.experiment import Checks, Experiment
from credit.lab.factor import text_of
from credit.lab.frame import Cell, pick
from credit.lab.measure import course, gap, share, steps, value
from credit.lab.options import listed, product
from credit.lab.protocol import DEPTH_MARGIN, POOR
from credit.spec import RunSpec, check_field

CODES = ("eT", "deltaL", "eT_hL", "deltaL_hL")
KNOBS = ("code", "tgw", "warmup_ratio")
SWEEPS = {knob: (knob, {}) for knob in KNOBS} | {
    f"warmup_ratio, code={code}": ("warmup_ratio", {"code": code}) for code in CODES
}
"""By name, the knob that varies and how its sweep differs from the base."""
BOUNDARY = {
    "activation": "phi",
    "alpha": "1",
    "codes": ",".join(CODES),
    "tgws": "0,0.25,1,4",
    "warmups": "0,0.05,0.2,0.5",
    "warmup_code": "deltaL",
}
PRESETS = {
    "published": {**teacher.TEACHER, **BOUNDARY, "depth": "4"},
    "quick": {**teacher.QUICK_TEACHER, **BOUNDARY, "depth": "2", "warmups": "0,0.25,0.5"},
}

COLLAPSE, TREND, SLACK = 0.5, POOR, 0.02
"""h_L destroys Γ if Γ falls by more than COLLAPSE of itself. TREND is the least change of Γ over a
sweep that counts, what the protocol calls no direction; SLACK lets seeds scatter from one value to
the next. Accuracies within DEPTH_MARGIN are equal, as in D3. All were fixed before any number was
seen; that a trend over warm-ups takes no step back was asked for after the first numbers."""


def grid(chosen: Options) -> list[RunSpec]:
    """Return seeds x points of the sweeps, each once; the base is `code`, `tgw`, `warmup_ratio`."""
    warmups = listed(chosen, "warmups", "warmup_ratio")
    other = {"code": check_field("code", chosen["warmup_code"], "warmup_code")}
    codes, tgws = listed(chosen, "codes", "code"), listed(chosen, "tgws", "tgw")
    points = [{}, *codes, *tgws, *warmups, *({**other, **warmup} for warmup in warmups)]
    return product(chosen, [{"rule": CREDIT}], points)


def in_sweeps(runs: pd.DataFrame) -> pd.DataFrame:
    """Return each run once for every sweep that it is a point of: sweep, value, and the base.

    Raises:
        CreditError: nothing was varied.
    """
    base = base_of(runs)
    at_base = (runs[list(KNOBS)] == pd.Series(base)).all(axis=1).map({True: "base", False: ""})
    parts = []
    for sweep, (knob, other) in SWEEPS.items():
        stays = {**base, **other}
        del stays[knob]
        own = pick(runs, stays)
        if own[knob].nunique() > 1 and (not other or stays["code"] != base["code"]):
            parts.append(own.assign(sweep=sweep, value=own[knob].map(text_of), base=at_base))
    if not parts:
        raise CreditError(
            f"nothing was varied around {base}: pass two or more codes, tgws or warmups"
        )
    return pd.concat(parts, ignore_index=True)


def base_of(runs: pd.DataFrame) -> dict[str, Any]:
    """Return the base: knob by knob what most points share, RunSpec's default among equals."""
    points = runs[list(KNOBS)].drop_duplicates()
    most = {name: points[name].mode().tolist() for name in KNOBS}
    default = {name: getattr(RunSpec, name) for name in KNOBS}
    return {name: default[name] if default[name] in own else own[0] for name, own in most.items()}


def _rank(setting: str) -> tuple[int, float]:
    """Return the key that sorts a knob's values: codes as listed, numbers by size."""
    return (0, CODES.index(setting)) if setting in CODES else (1, float(setting))


def checks(frame: Frame) -> Checks:
    """Return that deltaL leads, h_L collapses, tgw helps, and every warm-up trades."""
    codes, tgws = (along(frame, "value", {"sweep": sweep}) for sweep in ("code", "tgw"))
    own, others = {"sweep": "code", "value": "deltaL"}, [c for c in codes if c["value"] != "deltaL"]
    leads = Check("deltaL leads", CREDIT, gap(own, others, DIRECTION))
    grows = Check("tgw", CREDIT, course(tgws, DIRECTION)).above(TREND, mean=True)
    named = [s for s in frame.labels("sweep") if s.startswith("warmup_ratio")] or ["warmup_ratio"]
    return [
        leads.above(0, strict=True, doubt=fitted(*codes)),
        _collapses("eT"),
        _collapses("deltaL"),
        grows.having(also=(_no_step(tgws, DIRECTION, SLACK),), doubt=fitted(*tgws)),
        *(_trades(sweep, along(frame, "value", {"sweep": sweep})) for sweep in named),
    ]


def _collapses(code: str) -> Check:
    """Return that h_L beside a code takes most of its Γ, and leaves accuracy as it is."""
    bare, joined = ({"sweep": "code", "value": name} for name in (code, f"{code}_hL"))
    loss = share(gap(bare, joined, DIRECTION), value(bare, DIRECTION), POOR)
    stays = Check("accuracy", CREDIT, gap(joined, bare, q.POINTS))
    return Check(f"{code}_hL", CREDIT, loss).above(
        COLLAPSE,
        strict=True,
        also=(stays.within(DEPTH_MARGIN, mean=True),),
        doubt=fitted(bare, joined),
    )


def _trades(sweep: str, points: Sequence[Cell]) -> Check:
    """Return that Γ falls along a sweep and accuracy rises, neither with a step back."""
    name, accuracy = sweep.removeprefix("warmup_ratio, code="), q.POINTS
    falls = Check("warmup" if name == sweep else f"warm {name}", CREDIT, course(points, DIRECTION))
    rises = Check("accuracy", CREDIT, course(points, accuracy)).above(DEPTH_MARGIN, mean=True)
    down = Check("no step up", CREDIT, steps(points, DIRECTION))
    return falls.below(-TREND, strict=False, mean=True).having(
        also=(
            down.below(SLACK, strict=False, mean=True),
            rises,
            _no_step(points, accuracy, DEPTH_MARGIN),
        ),
        late=True,
        doubt=fitted(*points),
    )


def _no_step(points: Sequence[Cell], quantities: Sequence[Quantity], slack: float) -> Check:
    return Check("no step down", CREDIT, steps(points, quantities)).above(-slack, mean=True)


OF_CODES = {
    "eT": (0.452, 0.509, 0.523),
    "deltaL": (0.562, 0.510, 0.448),
    "eT_hL": (0.002, 0.016, 0.559),
    "deltaL_hL": (0.018, 0.026, 0.564),
}
"""Published Γ, ρ and accuracy."""
PUBLISHED = {
    q.GAMMA: {
        **{("code", code): row[0] for code, row in OF_CODES.items()},
        **{("tgw", "0"): 0.12, ("tgw", "1"): 0.46, ("tgw", "4"): 0.57},
        **{("warmup_ratio", "0"): 0.68, ("warmup_ratio", "0.5"): 0.23},
        ("warmup_ratio, code=deltaL", "0.05"): 0.768,
    },
    q.RHO: {
        **{("code", code): row[1] for code, row in OF_CODES.items()},
        ("warmup_ratio, code=deltaL", "0.05"): 0.691,
    },
    q.ACCURACY: {
        **{("code", code): row[2] for code, row in OF_CODES.items()},
        **{("warmup_ratio", "0"): 0.46, ("warmup_ratio", "0.5"): 0.66},
    },
}

WHERE = {name: teacher.SAME[name] for name in teacher.SAME if name != "tgw"} | {"depth": 4}

EXPERIMENT = Experiment(
    kind="boundary_ablation",
    title="Boundary ablation",
    question="What must a credit bridge be told of the output error, and how must it be tied to "
    "the output, for its credit to point along the gradient?",
    factors=(
        Factor("sweep", reads=KNOBS, key=tuple(SWEEPS).index),
        Factor("value", key=_rank),
        Factor("base"),
    ),
    presets=PRESETS,
    grid=grid,
    repeat=in_sweeps,
    columns=(*DIRECTION, q.RHO, q.NUDGE, q.ACCURACY, q.FIT),
    checks=checks,
    figure=tuple(
        Panel(quantity, x="value", across="sweep", mark={"base": "base"}, below=i > 0)
        for i, quantity in enumerate((q.GAMMA, q.RHO, q.ACCURACY))
    ),
    options=helps(
        "seeds",
        codes="codes, comma-separated",
        tgws="weights of terminal gradient matching, comma-separated",
        warmups="warm-up ratios, comma-separated",
        warmup_code="the code of the second sweep over warm-ups",
    ),
    fixed=("rule", "seed"),
    reported=tuple(
        Reported(teacher.SOURCE, quantity, ("sweep", "value"), values, WHERE, recipe=False)
        for quantity, values in PUBLISHED.items()
    ),
    caveats=(
        "Sweeps change one factor: how two of them act together was not run.",
        teacher.CAVEAT,
    ),
)
