"""The audit of one rule: the whole protocol on it, its controls, and one bottom line.

Trains the rule's ladder beside bp's and the oracle's, and its matched controls; runs that a ladder
of the same settings has left are not trained again.

    python -m entrypoints.audit --preset quick --rule dfa          # 2 min on 2 CPU cores
    python -m entrypoints.audit --preset quick --rule my_rule:MyRule
    python -m entrypoints.audit --run_id RUN                       # judge a finished run
"""

import contextlib
import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import pandas as pd

from credit.errors import CreditError
from credit.experiments import ladder, matched_controls
from credit.experiments._parts.grids import helps
from credit.experiments.matched_controls import FROZEN, FULL, NONE, PENALTY, RANDOM, SHALLOW
from credit.lab import All, Check, Experiment, Frame, Options, Panel, Quantity, Undecided
from credit.lab import quantities as q
from credit.lab.experiment import Checks
from credit.lab.frame import Cell
from credit.lab.looks import RULES
from credit.lab.measure import Found, Sample, gap, value
from credit.lab.options import depth_of, distinct, fields, listed
from credit.lab.protocol import (
    direction_quality,
    ends_of,
    ladder_checks,
    transport,
    valid_reference,
)
from credit.lab.source import Source
from credit.lab.verdict import Verdict, bottom_line
from credit.networks.size import HELD_OUT
from credit.spec import RunSpec

BESIDE = ("bp", "oracle")
"""What stands beside the rule: whether depth is of use at all, and what perfect credit reaches."""
IDENTITY_SAMPLES = 256
"""Test images, the first in file order, on which untrained networks are measured."""
LIST = "shallow,random_labels,penalty,frozen_embedding"
OPTIONS = {"controls": LIST, "control_penalty": "0.01", "ks": "all"}
PRESETS = {
    name: {key: text for key, text in {**own.PRESETS[name], **OPTIONS}.items() if key != "rules"}
    for name, own in {"published": ladder, "reduced": matched_controls, "quick": ladder}.items()
}

NEAR, BEYOND, EXACT, CHANCE = 0.9, 0.02, 1e-3, 4.0
"""NEAR: an untrained network whose cos(h_L, h_0) is that large is near the identity, so that the
frozen blocks of k=0 do little. BEYOND: a Γ less than that above g_L passed back owes its direction
to the skip path. EXACT: how far Γ of a = g may be from 1. CHANCE: standard deviations that are
allowed to a random credit's mean Γ, 1 / sqrt(d n) each. The three checks with these were added
after first numbers had been seen."""
COPY_MIDDLE = Quantity("copy_middle", "copy/h{M}", "Γ of g_L passed back", "at the middle layer")
SPREAD = "calibration/alignment_random_std"
"""Column of the runs: the standard deviation of a random credit's cosine over samples."""
KNOWN = {
    name: Quantity(name, f"calibration/{name}", symbol, "a credit with a known answer")
    for name, symbol in {
        "alignment_g": "Γ of a = g",
        "alignment_neg_g": "Γ of a = −g",
        "alignment_random": "Γ of a random credit",
        "nudge_g": "nudge along g",
        "nudge_neg_g": "nudge against g",
    }.items()
}


def grid(chosen: Options) -> list[RunSpec]:
    """Return rungs `ks` of the rule, bp and the oracle, and the rule's controls, on `seeds`.

    Raises:
        CreditError: no rule or more than one is named, or k = 0 or k = depth is left out.
    """
    rule = chosen["rule"]
    if rule in ("", "preset") or "," in rule:
        raise CreditError(
            f"rule={rule!r} is not one rule: pass --rule dfa, or my_rule:MyRule (docs/your_rule.md)"
        )
    depth, ks = depth_of(fields(chosen)), chosen["ks"]
    if ks != "all" and (left_out := {0, depth} - {own["k"] for own in listed(chosen, "ks", "k")}):
        missing = ", ".join(map(str, sorted(left_out)))
        raise CreditError(f"ks={ks} leaves out {missing}: an audit compares k=0 with k={depth}")
    specs = ladder.grid({**chosen, "rules": ",".join(dict.fromkeys((*BESIDE, rule)))})
    if chosen["controls"] != "none":
        specs += matched_controls.grid({**chosen, "rules": rule})
    return distinct(specs)


def subject(frame: Frame) -> str:
    """Return the audited rule: the one with controls of its own, or neither bp nor the oracle.

    Raises:
        CreditError: it cannot be told.
    """
    runs = frame.runs
    controlled = runs.loc[runs["control"].isin((SHALLOW, RANDOM, PENALTY)), "rule"]
    others = sorted(set(controlled)) or sorted(set(runs["rule"]).difference(BESIDE))
    if len(others) != 1:
        raise CreditError(
            f"runs of {', '.join(sorted(set(runs['rule'])))}: an audit is of one rule"
        )
    return others[0]


def with_calibration(runs: pd.DataFrame, source: Source) -> pd.DataFrame:
    """Return the runs with their sizes, and what credits with a known answer reach in them.

    A run that has these columns already was measured now; one without a layer table has none.
    """
    found = matched_controls.with_sizes(runs, source)
    rows: dict[Any, pd.Series] = {}
    full = found.loc[(found["status"] == "FINISHED") & (found["k"] == found["depth"])]
    for index, run in full.iterrows():
        with contextlib.suppress(CreditError):
            layers = source.layers(run["run_id"]).set_index("layer")
            rows[index] = layers.loc[run["depth"] // 2]
    known = pd.DataFrame(rows).T.reindex(found.index, columns=[*KNOWN, "alignment_random_std"])
    found[SPREAD] = known["alignment_random_std"].astype(float)
    for name, quantity in KNOWN.items():
        found[quantity.metric] = quantity.values(found).fillna(known[name].astype(float))
    return found


def checks_of(rule: str, frame: Frame) -> Checks:
    """Return the checks on one rule of a frame."""
    ends = ends_of("control", FULL, NONE)
    full, own = ends(rule)[0], {check.name: check for check in ladder_checks(rule, ends)}
    valid = (valid_reference(rule, full),)
    beyond = Check("beyond a copy", rule, lambda f: _beyond(f, full), needs=valid, late=True)
    return [
        Check("frozen init", rule, identity, late=True).above(NEAR),
        *(own[name] for name in ("D1", "D2", "direction")),
        beyond.above(BEYOND, mean=True),
        *(own[name] for name in ("D3", "shape", "oracle_share") if name in own),
        transport(rule, full),
        *_controls(frame, rule),
        calibration(rule, full, valid),
    ]


def identity(frame: Frame) -> Found:
    """Return cos(h_L, h_0) of the untrained networks, measured on the parent run."""
    if (cos := frame.parent.get("identity/cos_mean")) is None:
        raise Undecided("the untrained network was not measured")
    return {"": [Sample(Quantity("cos", "", "cos(h_L, h_0)", "untrained"), {None: cos})]}


def _beyond(frame: Frame, full: Cell) -> Found:
    """Return Γ minus that of the copy, at the middle layer.

    A copy that leaves no room for BEYOND decides nothing, unless the rule is below it.
    """
    copy = Sample(COPY_MIDDLE, frame.sample(full, COPY_MIDDLE))
    found = gap(full, None, (q.GAMMA_MIDDLE,), less=COPY_MIDDLE)(frame)
    ahead = any(s.mean > 0 for s in found.get("", ()) if isinstance(s, Sample))
    if copy.mean > 1 - BEYOND and ahead:
        raise Undecided(f"{copy.text}: nothing is left to add")
    return found


CONTROL_OF = {
    "k=L > shallow": SHALLOW,
    "random labels": RANDOM,
    **dict.fromkeys(("penalty", "penalty D1", "penalty direction"), PENALTY),
    "D3 together": FROZEN,
}
"""By check, the control that it judges."""


def _controls(frame: Frame, rule: str) -> list[Check | All]:
    """Return the checks of those controls that were run."""
    held = direction_quality(rule, {"rule": rule, "control": PENALTY})
    known = (*matched_controls.control_checks(rule), held.having(name="penalty direction"))
    named, there = {check.name: check for check in known}, set(frame.runs["control"])
    return [named[name] for name, control in CONTROL_OF.items() if control in there]


def calibration(rule: str, full: Cell, valid: tuple[Check, ...]) -> Check:
    """Return the check that credits with a known answer get it: a = g, a = −g, a random one."""

    def known(name: str, size: bool = False) -> Check:
        measure = value(full, (KNOWN[name],), size)
        return Check("calibration", rule, measure, needs=valid, late=True)

    def limit(frame: Frame) -> float:
        run = frame.at(full).iloc[0]
        n = min(run["measure_samples"], HELD_OUT.get(run["dataset"], math.inf))
        spread = run.get(SPREAD, math.nan)  # of one sample's cosine: 1 / sqrt(units)
        return CHANCE / math.sqrt(n) * (run["width"] ** -0.5 if math.isnan(spread) else spread)

    others = (
        known("alignment_g").above(1 - EXACT, mean=True),
        known("alignment_neg_g").below(EXACT - 1, mean=True, strict=False),
        known("nudge_g").below(0, mean=True),
        known("nudge_neg_g").above(0, mean=True, strict=True),
    )
    return known("alignment_random", size=True).below(limit, mean=True, also=others)


OF_THE_BENCH = ("frozen init", "calibration")
"""Checks that a rule has no part in: they are not counted among its own."""


def answer_of(rule: str, verdicts: Sequence[Verdict]) -> str:
    """Return the bottom line of one rule's checks, and how many of its own pass."""
    own = [v for v in verdicts if v.check not in OF_THE_BENCH]
    passed = sum(verdict.status == "pass" for verdict in own)
    line = bottom_line(own).sentence
    return f"{rule.rpartition(':')[2]}: {line}. {passed} of its {len(own)} checks pass."


def untrained_identity(specs: Sequence[RunSpec]) -> tuple[dict[str, float], dict[str, str]]:
    """Return how near to the identity untrained resmlps are, and the data they read.

    Raises:
        CreditError: the rule fails on a few samples, or there is not enough memory.
    """
    import torch  # here and below: reading results needs none of it

    from credit.data import load
    from credit.data.batches import held_out
    from credit.measures.frozen_init import of_seeds, summary
    from credit.sweep import planning
    from credit.sweep.networks import shape_of
    from credit.training import trial

    deep = max(specs, key=lambda spec: spec.depth)
    data = load(deep.dataset, train_samples=deep.train_samples)
    shape = partial(shape_of, data=data)
    trial.check_states(specs, shape)
    planning.check(specs, shape, planning.memory_free(deep.device))
    trial.check_credits(specs, shape, finite=True)
    source = {"name": data.name, "digest": data.digest, "source": data.source}
    if deep.network != RunSpec.network:
        return {}, source
    x, _ = held_out(data, torch.float32, n=min(IDENTITY_SAMPLES, len(data.test_labels)))
    alpha = None if deep.activation == "gelu" else deep.alpha
    networks = of_seeds(shape(deep)[:4], sorted({spec.seed for spec in specs}), x, alpha)
    return summary(list(networks.values())), source


EXPERIMENT = Experiment(
    kind="audit",
    title="Audit",
    question="Does the rule train depth, and does its credit point where the gradient points?",
    factors=(RULES, matched_controls.CONTROL),
    presets=PRESETS,
    grid=grid,
    asked=lambda frame: {"rule": subject(frame)},
    prepare=with_calibration,
    answer=lambda found: answer_of(subject(found.frame), found.verdicts),
    of_parent=untrained_identity,
    columns=matched_controls.EXPERIMENT.columns,
    checks=lambda frame: checks_of(subject(frame), frame),
    figure=(
        Panel(
            q.ACCURACY,
            x="k",
            by=("rule",),
            where={"control": lambda name: name.startswith("k=")},
            say="trainable blocks k",
        ),
        Panel(q.GAMMA, x="layer", by=("rule",), where={"control": FULL}, say="all blocks train"),
    ),
    options=helps(
        "seeds",
        rule="the rule to audit: a name, or package.module:Rule for your own",
        ks="trainable blocks, comma-separated, 0 and depth among them; all is 0 to depth",
        controls=f"comma-separated: {LIST}; none leaves them out",
        control_penalty="λ of the control `penalty`",
    ),
    fixed=("k", "seed", "penalty", "random_labels", "start", "embed_trains", "head_trains"),
)
