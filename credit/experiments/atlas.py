"""Atlas: every rule on one network under one protocol.

A rule trains all blocks, and none. Two orders stand side by side: by the direction of the credit
(Γ below h_L), and by what a step of equal length along the credit does to the loss, as a share of
what the same step along the gradient does (functional rank).

    python -m entrypoints.atlas --preset quick     # 34 runs of 4 epochs
    python -m entrypoints.atlas --preset reduced   # 102 runs of 20 epochs, 3 seeds
    python -m entrypoints.atlas                    # 102 runs of 100 epochs: for a GPU

Published: bp .617, fa .402 and dfa .301 with all blocks trained, after 100 epochs (d=256, L=4).
"""

import sys

import pandas as pd
from scipy import stats

from credit.experiments._parts.grids import QUICK_LEARNED, RELATIVE, beside, helps
from credit.experiments.ladder import REPORTED
from credit.lab import Check, Experiment, Factor, Frame, Options, Panel, Quantity, Undecided
from credit.lab import quantities as q
from credit.lab.experiment import Checks
from credit.lab.frame import finished
from credit.lab.layers import layer_table
from credit.lab.looks import RULES
from credit.lab.measure import Found, Sample
from credit.lab.options import depth_of, fields, listed, product
from credit.lab.protocol import CEILINGS, ends_of, ladder_checks, transport
from credit.lab.source import Source
from credit.spec import RunSpec

EVERY = (
    "bp,oracle,fa,dfa,drtp,fa_layerwise,kolen_pollack,weight_mirror,sign_symmetric,local_loss,"
    "node_perturbation,forward_gradient,difference_target_propagation,pepita,"
    "state_bridge,credit_bridge,vector_field"
)
ONE_FORM = ("state_bridge", "credit_bridge", "vector_field")
"""Rules whose one estimator serves hidden states of one form."""
UNEVEN = ("small_cnn", "small_resnet")
ATLAS = {"rules": EVERY, "ks": "ends", **RELATIVE}
PRESETS = {
    "published": {**ATLAS, "seeds": "42,123,456"},
    "reduced": {**ATLAS, "seeds": "42,123,456", "epochs": "20", "warmup_ratio": "0.1"},
    "quick": {**ATLAS, **QUICK_LEARNED, "width": "64", "warmup_ratio": "0.25", "seeds": "42"},
}
AGREE = 0.8
"""Spearman's correlation from which on two orders of rules count as one. It was fixed before any
number was seen: of 15 rules it lets pairs of neighbours change places."""

GAIN = Quantity("gain", "gain/depth", "gain", "test accuracy at k=L minus k=0", "+.1f", 100.0)
SHARE = Quantity(
    "nudge_share",
    "nudge_share/inner",
    "nudge share",
    "loss change of a step along the credit over that along the gradient, mean over 1 ≤ l < L",
)
COSINE_RANK = Quantity(
    "cosine_rank", "rank/cosine", "rank by Γ", "place among the rules by Γ", ".0f"
)
NUDGE_RANK = Quantity(
    "nudge_rank", "rank/nudge", "rank by nudge", "place among the rules by nudge share", ".0f"
)
ORDERS = Quantity(
    "orders", "rank/spearman", "Spearman", "correlation of the two orders of the rules", ".2f"
)


def grid(chosen: Options) -> list[RunSpec]:
    """Return rules x rungs x seeds; the rungs `ends` are k = 0 and k = depth."""
    ends = [{"k": k} for k in (0, depth_of(fields(chosen)))]
    ks = ends if chosen["ks"] == "ends" else listed(chosen, "ks", "k")
    rules = listed(chosen, "rules", "rule")
    if chosen["rules"] == EVERY and chosen.get("network") in UNEVEN:
        rules = [rule for rule in rules if rule["rule"] not in ONE_FORM]
        print(f"credit: left out, as states differ in form: {', '.join(ONE_FORM)}", file=sys.stderr)
    return product(chosen, rules, ks)


def with_ranks(runs: pd.DataFrame, source: Source) -> pd.DataFrame:
    """Return the runs with their gain from depth, nudge share and, at k=L, both ranks."""
    done = finished(runs)
    frozen = done.loc[done["k"] == 0]
    gain = q.ACCURACY.values(runs) - beside(runs, frozen, q.ACCURACY, by=("rule", "seed"))
    whole = runs["k"] == runs["depth"]
    shares = {i: _share(source.layers(i)) for i in done.loc[done["k"] == done["depth"], "run_id"]}
    found = runs.assign(**{GAIN.metric: gain.where(whole)})
    found[SHARE.metric] = found["run_id"].map(shares).astype(float)
    for rank, by in ((COSINE_RANK, q.GAMMA_INNER), (NUDGE_RANK, SHARE)):
        known = by.values(found).where(whole)
        found[rank.metric] = known.groupby(found["seed"]).rank(ascending=False)
    return found


def _share(layers: pd.DataFrame) -> float:
    """The mean over inner layers of nudge over that along the gradient; nan where one has none."""
    inner = layers.loc[layers["layer"].between(1, layers["layer"].max() - 1)]
    if inner.empty or set(inner["nudge_status"]) != {"ok"}:
        return float("nan")
    return float((inner["nudge"] / inner["nudge_g"]).mean())


def checks(frame: Frame) -> Checks:
    """Return the audit protocol and the transport of every rule, and whether the orders agree."""
    rules, ends = frame.labels("rule"), ends_of("k", frame.depth, 0)
    own = [
        check
        for rule in rules
        for check in (*ladder_checks(rule, ends), transport(rule, ends(rule)[0]))
    ]
    orders = Check("orders", "all", lambda f: _orders(f, rules))
    return [*own, orders.above(AGREE, mean=True)]


def _orders(frame: Frame, rules: list[str]) -> Found:
    """Correlate the orders of the rules by Γ and by nudge share, seed by seed.

    Raises:
        Undecided: fewer than three rules have both numbers.
    """
    judged = [rule for rule in rules if rule not in CEILINGS]
    by_seed = {}
    done = frame.done.loc[(frame.done["k"] == frame.depth) & frame.done["rule"].isin(judged)]
    for seed, own in done.groupby("seed"):
        pairs = pd.DataFrame({"g": q.GAMMA_INNER.values(own), "s": SHARE.values(own)}).dropna()
        if len(pairs) > 2:
            by_seed[int(seed)] = float(stats.spearmanr(pairs["g"], pairs["s"]).statistic)
    if not by_seed:
        raise Undecided("fewer than three rules have a direction and a nudge")
    return {"": [Sample(ORDERS, by_seed)]}


EXPERIMENT = Experiment(
    kind="atlas",
    title="Atlas of rules",
    question="What does every rule reach on one network, and what does it take from the weights?",
    factors=(RULES, Factor("k", sign="k=")),
    presets=PRESETS,
    grid=grid,
    prepare=with_ranks,
    columns=(
        *(q.ACCURACY, GAIN, q.GAMMA_INNER, COSINE_RANK, SHARE, NUDGE_RANK, q.RHO, q.TRANSPORT),
        *(q.GROWTH, q.GRADIENT, q.FLOPS, q.SECONDS),
    ),
    checks=checks,
    headline="D3",
    more=lambda frame, source: {"layers": layer_table(frame, source)},
    figure=(
        Panel(q.ACCURACY, x="rule", by=("k",)),
        Panel(
            SHARE,
            x=q.GAMMA_INNER,
            by=("rule",),
            where={"k": lambda k: k > 0},
            below=True,
        ),
    ),
    options=helps("rules", "seeds", ks="trainable blocks, comma-separated; ends is 0 and depth"),
    fixed=("rule", "k", "seed"),
    reported=REPORTED,
    caveats=(
        "Rules that trained together have their stack's mean as seconds.",
        "A node perturbation has one noise vector a step: its Γ is that of one draw.",
    ),
)
