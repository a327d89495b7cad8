"""Frozen recovery: what an estimator learns of the credit in a network that no longer moves.

The runs are references, networks trained by backprop, and frozen runs: each starts from the
reference of its seed and shape, trains nothing of it, and lets one estimator learn on it. An arm is
named by what the run says: `dfa`, `state_bridge`, `credit_eT` and `credit_deltaL` (the credit
bridge by its code), `M4`, `M8`, ... (the vector field by its directions).
"""

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from credit.analysis import cost, reduction, wording
from credit.analysis.cells import COPY, QUANTITIES, by_seed, formatted, spread, summary
from credit.analysis.published_frozen import SOURCE, reported_frozen
from credit.analysis.selection import ACCURACY, configuration, finished, metric, pick
from credit.errors import CreditError
from credit.spec import LEARNED_FIELDS

START = "start"
"""The RunSpec field that names the run whose network another one starts from."""
KIND = "frozen_recovery"
REFERENCE = "reference"
"""The arm of the networks that the others start from."""

_ORDER = ("dfa", "state_bridge", "credit_eT", "credit_deltaL")
_PLACE = ("seed", "width", "depth")
_INHERITED = (*_PLACE, "dataset", "activation", "alpha", "terminal_norm")
_RULE_ONLY = (
    *("tgw", "tau", "sigma", "sigma_relative", "draws", "ema", "terminal_weight", "field_eps"),
    *("one_sided", "shuffle", "estimator_relative"),
)
_KEPT = {name: QUANTITIES[name] for name in ("alignment", "alignment_inner")} | COPY
_KEPT |= {name: head for name, head in QUANTITIES.items() if name != "accuracy"}
_KEPT |= {"reference_accuracy": "accuracy of the reference"}


def arm_of(run: Mapping[str, Any]) -> str:
    """The arm of a run, by its rule, code and number of directions."""
    if run["rule"] == "credit_bridge":
        return f"credit_{run['code']}"
    return f"M{run['field_directions']}" if run["rule"] == "vector_field" else str(run["rule"])


def in_order(arms: Iterable[str]) -> list[str]:
    """Each arm once: dfa, the bridges, other rules by name, the vector fields by M."""
    known = set(arms) - {REFERENCE}
    fields = sorted((a for a in known if is_field(a)), key=lambda arm: int(arm[1:]))
    others = sorted(known - {*_ORDER, *fields})
    return [*(arm for arm in _ORDER if arm in known), *others, *fields]


def with_arms(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs with columns `arm`, `network` ("d=256 L=4") and `reference_accuracy`.

    START, a hash that differs from seed to seed, becomes "reference" in all frozen runs.

    Raises:
        CreditError: there are no runs; a run starts from a network of another seed or shape; or
            runs that are to be compared differ in more than seed, network and what makes an arm.
    """
    if runs.empty:
        configuration(runs)  # says so
    started = runs[START] != "none"
    arms = [
        arm_of(run) if on else REFERENCE
        for run, on in zip(runs.to_dict("records"), started, strict=True)
    ]
    networks = [f"d={w} L={d}" for w, d in zip(runs["width"], runs["depth"], strict=True)]
    origin = {run["spec_hash"]: run for run in runs.loc[~started].to_dict("records")}
    accuracies = [_of_origin(run, origin) for run in runs.to_dict("records")]
    named = runs.assign(arm=arms, network=networks, reference_accuracy=accuracies)
    named[START] = named[START].where(~started, REFERENCE)
    references, frozen = named.loc[~started], named.loc[started]
    learned = frozen.loc[frozen["rule"].isin(wording.LEARNED)].assign(rule="learned rules")
    if len(references):
        configuration(references, vary=(*_PLACE, "k"))
    if len(frozen):
        configuration(frozen, vary=(*_PLACE, "rule", *LEARNED_FIELDS))
    if len(learned):
        configuration(learned, vary=(*_PLACE, "code", "field_directions", *_RULE_ONLY))
    for _, own in frozen.groupby("rule"):
        configuration(own, vary=(*_PLACE, "code", "field_directions"))
    return named


def describe(runs: pd.DataFrame) -> str:
    """What all runs have in common, for a title, and in what they are not the published ones.

    As "cifar10, bp for 100 epochs, then frozen; estimators: all samples, 100 epochs in batches of
    128, estimator_layers 1".

    Raises:
        CreditError: as `with_arms`.
    """
    named = with_arms(runs)
    references = pick(named, arm=REFERENCE)
    frozen = named.loc[named["arm"] != REFERENCE]
    config = dict((frozen if len(frozen) else named).iloc[0])
    epochs = "/".join(map(str, sorted(references["epochs"].unique()))) or "an unknown number of"
    taught = ", ".join(filter(None, (wording.trained(config), wording.estimators(frozen, False))))
    text = f"{config['dataset']}, bp for {epochs} epochs, then frozen; estimators: {taught}"
    return reduction.told(text, KIND, *halves(named))


def halves(named: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Frozen runs, and their references, of runs of `with_arms`."""
    theirs = named["arm"] == REFERENCE
    return named.loc[~theirs], named.loc[theirs]


def table(runs: pd.DataFrame) -> pd.DataFrame:
    """Γ, ρ, nudge, fit and cost by network and arm, with what was reported.

    Args:
        runs: of `Reader.runs`; of `cost.with_costs`, or there are no costs.

    Returns:
        Columns network, width, depth, arm; for each of `cells.QUANTITIES`, `cells.COPY` and for
        reference_accuracy its mean, `_sd` (ddof 1) and `_n` (valid seeds); n (finished runs);
        `cost.COUNTED`; settings (`reduction.settings` of all runs); reported_alignment; departures,
        in what our settings differ from the reported ones ("" if in nothing).

    Raises:
        CreditError: as `with_arms`.
    """
    named = with_arms(runs)
    done, rows, label = finished(named), [], reduction.settings(KIND, *halves(named))
    for width, depth in networks(named):
        here = pick(named, width=width, depth=depth)
        for arm in in_order(here["arm"]):
            own = pick(done, width=width, depth=depth, arm=arm)
            row = {"network": here["network"].iloc[0], "width": width, "depth": depth, "arm": arm}
            row |= summary(own)
            for control in COPY:
                row |= spread(control, by_seed(own, control).values())
            row |= spread("reference_accuracy", own["reference_accuracy"])
            rows.append(row | cost.counted(own) | {"settings": label})
    if not rows:
        raise CreditError("no frozen run to show: run the experiment to its second part first")
    reported = reported_frozen(named)
    found = pd.DataFrame(rows).merge(reported, on=["width", "depth", "arm"], how="left")
    found["departures"] = found["departures"].fillna("")
    return found


def wide(table: pd.DataFrame) -> pd.DataFrame:
    """The table as strings, for Markdown and the terminal.

    A reported value at other settings than ours has an asterisk; `sources` says which.
    """
    cells = formatted(table, _KEPT)
    marks = ["*" if text else "" for text in table["departures"]]
    reported = [
        "" if pd.isna(v) else wording.short(v) + mark
        for v, mark in zip(table["reported_alignment"], marks, strict=True)
    ]
    if any(reported):
        cells.insert(1, f"{QUANTITIES['alignment']} reported", reported)
    cells = pd.concat([cells, cost.counts(table)], axis=1)
    if (table["settings"] != reduction.PUBLISHED).any():
        cells["settings"] = table["settings"].tolist()
    return pd.concat([table[["network", "arm"]], cells], axis=1)


def sources(table: pd.DataFrame) -> list[str]:
    """Where reported values come from, and where ours were made otherwise; [] if none is shown."""
    shown = table.dropna(subset=["reported_alignment"])
    lines = [f"reported: {SOURCE.removeprefix('reported ')}"] if len(shown) else []
    for text, own in shown.loc[shown["departures"] != ""].groupby("departures", sort=False):
        arms = ", ".join(own["arm"])
        lines.append(f"* reported at other settings than ours, no comparison ({arms}): {text}")
    return lines


def layers(runs: pd.DataFrame) -> pd.DataFrame:
    """Γ and ρ by network, arm and hidden state, 0 .. L.

    Returns:
        Columns network, arm, layer, n, and of alignment and rho mean, `_sd` (ddof 1) and `_n`.

    Raises:
        CreditError: as `with_arms`.
    """
    named = with_arms(runs)
    done, rows = finished(named), []
    for width, depth in networks(named):
        here = pick(named, width=width, depth=depth)
        for arm in in_order(here["arm"]):
            own = pick(done, width=width, depth=depth, arm=arm)
            for layer in range(depth + 1):
                row = {"network": here["network"].iloc[0], "arm": arm, "layer": layer}
                row["n"] = len(own)
                for quantity in ("alignment", "rho"):
                    row |= spread(quantity, metric(own, f"{quantity}/h{layer:02d}"))
                rows.append(row)
    return pd.DataFrame(rows)


def wide_layers(layers: pd.DataFrame) -> pd.DataFrame:
    """Mean Γ by network and arm, a column per hidden state: h0 .. hL."""
    rows = []
    for (network, arm), own in layers.groupby(["network", "arm"], sort=False):
        pairs = zip(own["layer"], own["alignment"], strict=True)
        shown = {f"h{i}": "" if pd.isna(v) else wording.short(v) for i, v in pairs}
        rows.append({"network": network, "Γ": arm, **shown, "n": own["n"].iloc[0]})
    found = pd.DataFrame(rows).fillna("")
    return found[[*(c for c in found if c != "n"), "n"]]


def networks(runs: pd.DataFrame) -> list[tuple[int, int]]:
    """Width and depth of each network among the runs, in order."""
    return sorted({(int(w), int(d)) for w, d in zip(runs["width"], runs["depth"], strict=True)})


def is_field(arm: str) -> bool:
    """Whether an arm is a plain vector field, M4 or M16."""
    return arm[0] == "M" and arm[1:].isdigit()


def _of_origin(run: Mapping[str, Any], origin: Mapping[str, Mapping[str, Any]]) -> float:
    """Test accuracy of the network a run starts from, or of itself; nan if it is not there."""
    source = run if run[START] == "none" else origin.get(run[START])
    if source is None:
        return float("nan")
    for name in _INHERITED:
        if source[name] != run[name]:
            raise CreditError(
                f"run {run['name']!r} ({name}={run[name]}) starts from a network of "
                f"{name}={source[name]}: run the experiment again, so that each starts from its own"
            )
    return float(source.get(ACCURACY, float("nan")))
