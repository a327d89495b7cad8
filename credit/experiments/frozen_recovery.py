"""Frozen recovery: do estimators find the gradient of a network that stands still?

bp trains a reference network for each seed. Then every arm trains its estimator on the reference's
hidden states, while the network itself does not change.

    python -m entrypoints.frozen_recovery --preset reduced           # 10 min on 2 CPU cores
    python -m entrypoints.frozen_recovery --run_id RUN --arms M4,M8  # on a network that you have

Published (d=256, L=4, n=3), Γ: .364 M4, .287 state bridge, .115 credit_eT, .006 dfa.
"""

import itertools
import re
from collections.abc import Sequence

import pandas as pd

from credit.errors import CreditError
from credit.experiments._parts import grids
from credit.experiments._parts.grids import QUICK_LEARNED, RELATIVE, STEP, helps, rule_of
from credit.lab import AUTHORS, DIRECTION, All, Check, Factor, Frame, Options, Panel, Quantity
from credit.lab import quantities as q
from credit.lab.experiment import Checks, Experiment
from credit.lab.layers import layer_means
from credit.lab.measure import each, gap, steps, value
from credit.lab.options import PRESET, fields, items, product
from credit.lab.protocol import POOR, beyond_copy
from credit.lab.source import Reported, Source, Span
from credit.spec import RunSpec, check_field, field_types, format_value

ARMS = Factor("arm", grids.ARMS)
NETWORKS = Factor(
    "network", of=lambda run: f"d={run['width']} L={run['depth']}", reads=("width", "depth")
)
STILL = {"k": 0, "embed_trains": False, "head_trains": False, "warmup_ratio": 0}
"""Nothing of the network trains, and dfa's credit has nothing to warm up."""
INHERITED = ("dataset", "width", "depth", "activation", "alpha", "terminal_norm", "seed")
"""Settings that an arm has from its reference."""
NONE = "none"
"""The value of `run_id` where bp trains the references."""

PUBLISHED = {
    "arms": ",".join(ARMS.levels),
    "networks": "256x4,256x6,512x4",
    "seeds": "42,123,456",
    **RELATIVE,
    "reference_epochs": "100",
    "reference_samples": "0",
    "run_id": NONE,
    "measure_every": "10",
}
PRESETS = {
    "published": PUBLISHED,
    "reduced": {**PUBLISHED, "networks": "256x4", "seeds": "42", "epochs": "20"},
    "quick": {
        **PUBLISHED,
        **QUICK_LEARNED,
        "networks": "128x4",  # the quick ladder's, whose bp run is then the reference
        "seeds": "42",
        "arms": "dfa,state_bridge,credit_eT,credit_deltaL,M4",
        "measure_every": "6",
        "reference_epochs": "6",
        "reference_samples": "20000",
    },
}

SLACK, UNMOVED = 0.02, 0.0005
"""SLACK allows seeds to scatter from M to M; UNMOVED allows rounding to turn single samples of
10,000. Both were fixed before any number was seen."""
MOVED = Quantity(
    "moved",
    "reference_difference",
    "difference from the reference",
    "test accuracy minus that of the network an arm starts from",
    ".4f",
)
REFERENCE = Quantity(
    "reference_accuracy",
    "reference_accuracy",
    "accuracy of the reference",
    "test accuracy of the network that the arms start from",
)
ALL = (*DIRECTION, q.RHO)


def grid(chosen: Options) -> list[RunSpec]:
    """Return the references, or the run `run_id` and every arm on its network.

    A run of another device is not shown beside its arms: runs of one sweep have one device.
    """
    started = references(chosen)
    if chosen["run_id"] == NONE:
        return started
    from credit.sweep.sweep import resolve  # here: it loads torch, which reading results needs not

    own = arms(chosen, started)
    return [*(one for one in started if one.device == resolve(own[0], here=False).device), *own]


def references(chosen: Options) -> list[RunSpec]:
    """Return networks x seeds, every block trained by backprop; or the run `run_id`.

    They are the ladder's own runs of bp with k = L, wherever the options say the same.
    """
    if chosen["run_id"] != NONE:
        from credit.finished.starting import trained_whole  # here: it loads torch and MLflow

        return [trained_whole(chosen["run_id"])]
    common = {**chosen, "stale_steps": str(RunSpec.stale_steps)}
    for name, option in (("epochs", "reference_epochs"), ("train_samples", "reference_samples")):
        common[name] = format_value(check_field(name, chosen[option], option))
    return product(common, [{"rule": "bp"}], shapes(chosen["networks"]))


def on_network(given: Options) -> Options:
    """Return the options with what the network of `run_id` settles."""
    if given.get("run_id", PRESET) in (PRESET, NONE):
        return given
    from credit.finished.starting import on_network_of  # here: it loads torch and MLflow

    own = [name for name in INHERITED if name not in EXPERIMENT.fixed]
    return on_network_of(given["run_id"], given, own)


def arms(chosen: Options, started: Sequence[RunSpec]) -> list[RunSpec]:
    """Return every arm on each of the references, as they are resolved: `start` is their hash."""
    common, found = fields(chosen), []
    for reference, arm in itertools.product(started, ARMS.chosen("arms", chosen["arms"])):
        own = {name: getattr(reference, name) for name in INHERITED}
        own |= {**ARMS[arm], **STILL, "start": reference.spec_hash}
        found.append(RunSpec.from_mapping({**common, **own}))
    return found


def shapes(text: str) -> list[dict[str, int]]:
    """Return `256x4,512x4` as widths and depths.

    Raises:
        CreditError: an item is not one, or one is named twice.
    """
    found = []
    for part in items("networks", text):
        if (match := re.fullmatch(r"(\d+)x(\d+)", part)) is None:
            raise CreditError(f"networks={part!r} is not width x depth: pass 256x4,512x4")
        shape = {"width": int(match[1]), "depth": int(match[2])}
        if shape in found:
            raise CreditError(f"networks={text!r} names a network twice: name each once")
        found.append(shape)
    return found


def then(chosen: Options, runs: pd.DataFrame, _: Source) -> list[RunSpec]:
    """Return the arms on every reference that is finished."""
    if chosen["run_id"] != NONE:
        return []  # they are in the grid
    done = runs.loc[(runs["status"] == "FINISHED") & (runs["start"] == "none")]
    rows = done[list(field_types())].to_dict("records")
    return arms(chosen, [RunSpec.from_mapping(row) for row in rows])


def with_references(runs: pd.DataFrame, _: Source) -> pd.DataFrame:
    """Return the arms, each with the accuracy of the reference that it starts from."""
    first = runs.loc[runs["start"] == "none"].drop_duplicates("spec_hash", keep="last")
    known = dict(zip(first["spec_hash"], q.ACCURACY.values(first), strict=True))
    own = runs.loc[runs["start"] != "none"]
    found = own["start"].map(known).astype(float)
    moved = (q.ACCURACY.values(own) - found).abs().round(12)
    return own.assign(start="reference", reference_accuracy=found, reference_difference=moved)


def checks(frame: Frame) -> Checks:
    """Return what is expected of the order of the arms, of dfa, and of every estimator."""
    named = frame.labels("arm")
    ranked = ("M4", "state_bridge", "credit_eT", "credit_deltaL")
    last = Check("credit_deltaL >> dfa", "credit_bridge", gap("credit_deltaL", "dfa", ALL))
    order = (
        *(
            Check(f"{one} > {other}", rule_of(one), gap(one, other, ALL)).above(STEP)
            for one, other in itertools.pairwise(ranked)
        ),
        last.above(POOR),
    )
    widths = steps([arm for arm in ("M4", "M8", "M16") if arm in named], ALL)
    still = Check("frozen", "all", each(named, lambda arm: value(arm, (MOVED,))))
    return [
        *order,
        All("order", "all", order),
        *(beyond_copy(arm, rule_of(arm)) for arm in named if arm != "dfa"),
        Check("dfa near 0", "dfa", value("dfa", ALL, size=True)).below(POOR, mean=True),
        Check("M", "vector_field", widths).above(-SLACK, mean=True),
        still.below(UNMOVED, strict=False),
    ]


REPORTED_ARMS = ("dfa", "state_bridge", "credit_eT", "credit_deltaL", "M4")
REPORTED = {
    q.GAMMA: (0.006, 0.287, 0.115, 0.070, 0.364),
    q.RHO: (0.005, Span(0.246, 0.264), Span(0.120, 0.125), 0.062, 0.426),
    q.NUDGE: (-6e-6, -9.6e-4, -3.7e-4, -1.6e-4, -1.4e-3),
}

EXPERIMENT = Experiment(
    kind="frozen_recovery",
    title="Frozen recovery",
    question="Do estimators find the gradient of a network that stands still?",
    factors=(NETWORKS, ARMS),
    places=("network",),
    presets=PRESETS,
    adapt=on_network,
    grid=grid,
    then=then,
    complete=lambda chosen: arms(chosen, references(chosen)),
    prepare=with_references,
    columns=(
        *(*DIRECTION, q.COPY, q.COPY_INNER, q.RHO, q.NUDGE, q.ACCURACY, q.FIT),
        *(REFERENCE, *q.COSTS),
    ),
    checks=checks,
    more=lambda frame, _: {"layers": layer_means(frame, (q.GAMMA, q.RHO))},
    figure=(
        Panel(q.GAMMA, x="arm", say="mean over l ≥ 1", beside=(q.COPY,)),
        Panel(q.GAMMA_INNER, x="arm", say="without h_L", beside=(q.COPY_INNER,)),
        Panel(q.RHO, x="arm"),
        Panel(q.GAMMA, x="layer", by=("arm",), across="network", beside=(q.COPY,), below=True),
    ),
    reported=tuple(
        Reported(
            f"{AUTHORS} (ResMLP d=256 L=4, CIFAR-10, 100 epochs, 3 seeds)",
            quantity,
            ("arm",),
            dict(zip(REPORTED_ARMS, values, strict=True)),
            {"width": 256, "depth": 4, "dataset": "cifar10"},
            recipe=False,
            rough=quantity is q.NUDGE,
        )
        for quantity, values in REPORTED.items()
    ),
    options=helps(
        networks="width x depth of the reference networks, comma-separated: 256x4,512x4",
        arms=f"what learns on them, comma-separated: {', '.join(ARMS.levels)}",
        seeds="seeds, comma-separated; each has its own reference",
        run_id="a finished run whose network is the reference; none trains references",
        reference_epochs="epochs that bp trains a reference",
        reference_samples="use the first n training samples for references; 0 uses all",
    ),
    fixed=(
        *("rule", "k", "seed", "width", "depth", "start", "embed_trains", "head_trains"),
        *("code", "field_directions", "warmup_ratio"),  # the arms set these
        *("penalty", "credit_eps", "credit_reduction", "random_labels"),  # nothing trains by them
    ),
    caveats=("Γ of g_L passed back unchanged stands beside every arm: it needs no estimator.",),
)
