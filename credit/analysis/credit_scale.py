"""Credit scale: how much of a rule's accuracy is its direction, and how much its credit's size?

`norm(v) = v / (rms(v) + credit_eps)` gives every credit the same length only while rms(v) is well
above credit_eps. Below it the credit shrinks, and with it the steps of the blocks: a brake. The
runs differ in credit_eps and in the loss that the credit starts from, the batch's mean or its sum,
which are a factor of batch_size apart. With credit_eps = 0 nothing brakes and both are one rule.
"""

from typing import Any

import pandas as pd

from credit.analysis import cost, reduction
from credit.analysis.cells import formatted, spread
from credit.analysis.credit_scale_reported import Setting, power, reported, sources
from credit.analysis.selection import (
    ACCURACY,
    configuration,
    finished,
    in_order,
    metric,
)
from credit.analysis.wording import short
from credit.tracking.reader import Reader

__all__ = [
    "courses",
    "credit_scale",
    "credit_scale_wide",
    "describe",
    "medians",
    "shared",
    "sources",
]

KIND = "credit_scale"
SHOWN = {"accuracy": "test accuracy", "alignment": "Γ", "alignment_inner": "Γ, l < L"}
_VARIED = ("rule", "seed", "credit_eps", "credit_reduction")


def shared(runs: pd.DataFrame) -> dict[str, Any]:
    """The settings that all runs share.

    Raises:
        CreditError: there are no runs, or they differ in more than rule, seed, credit_eps and
            credit_reduction.
    """
    return configuration(runs, vary=_VARIED)


def describe(runs: pd.DataFrame) -> str:
    """What all runs have in common, for a title: "cifar10, d=256, L=4, k=4, 100 epochs".

    Raises:
        CreditError: as `shared`.
    """
    text = "{dataset}, d={width}, L={depth}, k={k}, {epochs} epochs".format(**shared(runs))
    return reduction.told(text, KIND, runs)


def settings(runs: pd.DataFrame) -> list[tuple[str, Setting]]:
    """Rules and settings of the runs, in canonical order."""
    names = ["rule", "credit_reduction", "credit_eps"]
    known = {tuple(row) for row in runs[names].drop_duplicates().itertuples(index=False)}
    return [
        (rule, Setting(kind, eps))
        for rule in in_order(runs["rule"])
        for kind in ("mean", "sum")
        for eps in sorted({eps for *_, eps in known})
        if (rule, kind, eps) in known
    ]


def credit_scale(runs: pd.DataFrame) -> pd.DataFrame:
    """Accuracy, cost, sizes and direction by rule, reduction and credit_eps.

    Args:
        runs: of `cost.load`; without their costs these columns are nan.

    Returns:
        Columns rule, reduction, eps; for each of SHOWN its mean, `_sd` (ddof 1) and `_n` (valid
        seeds); hidden (‖h_L‖), credit (‖a_L‖), credit_0 (‖a_0‖), medians over seeds; of the credit
        as the training sees it, which is batch_size times smaller where reduction is "mean", rms
        and rms_0 (at h_L and h_0) and kept and kept_0, the share rms / (rms + eps) of its full
        length that `norm` leaves; growth (the largest of all seeds); `cost.COUNTED`; n (finished
        runs); accuracy, sd and ‖h_L‖ that others measured (`reported_...`); settings
        (`reduction.settings` of all runs). Sizes are medians over held-out samples.

    Raises:
        CreditError: as `shared`.
    """
    config, done, label = shared(runs), finished(runs), reduction.settings(KIND, runs)
    rows = []
    for rule, setting in settings(runs):
        own = setting.of(done, rule)
        depth = int(config["depth"])
        last, first = (_size(own, f"credit_norm/h{layer:02d}") for layer in (depth, 0))
        # measured on each sample's own error, whatever the rule trains on
        unit = config["width"] ** -0.5 / (
            config["batch_size"] if setting.reduction == "mean" else 1
        )
        row: dict[str, Any] = {"rule": rule, "reduction": setting.reduction, "eps": setting.eps}
        row |= spread("accuracy", metric(own, ACCURACY))
        row |= spread("alignment", metric(own, "alignment/deep"))
        row |= spread("alignment_inner", metric(own, "alignment/deep_inner"))
        row |= {
            "hidden": _size(own, f"hidden_norm/h{depth:02d}"),
            "credit": last,
            "credit_0": first,
            "rms": last * unit,
            "rms_0": first * unit,
            "kept": _kept(last * unit, setting.eps),
            "kept_0": _kept(first * unit, setting.eps),
            "growth": pd.Series(metric(own, "growth/max"), dtype=float).max(),
            **cost.counted(own),
            "n": len(own),
        }
        row |= reported(runs, rule, setting) | {"settings": label}
        rows.append(row)
    return pd.DataFrame(rows)


def credit_scale_wide(table: pd.DataFrame) -> pd.DataFrame:
    """The table of `credit_scale` as strings, for Markdown and the terminal."""
    rows = table.to_dict("records")
    found = formatted(table, SHOWN)
    sizes = {
        "‖h_L‖": "hidden",
        "‖a_L‖": "credit",
        "‖a_0‖": "credit_0",
        "rms(a_L)": "rms",
        "growth/max": "growth",
    }
    for place, (heading, name) in enumerate(sizes.items(), start=1):
        found.insert(place, heading, [power(row[name]) for row in rows])
    kept = ["" if pd.isna(row["kept"]) else f"{row['kept']:.0%}" for row in rows]
    found.insert(5, "kept of a_L", kept)
    if table["reported_accuracy"].notna().any():
        found.insert(1, "reported", [_pair(row) for row in rows])
        found.insert(3, "‖h_L‖ reported", [power(row["reported_hidden"]) for row in rows])
    if (table["settings"] != reduction.PUBLISHED).any():
        found["settings"] = table["settings"].tolist()
    left = table[["rule", "reduction"]].assign(eps=[f"{eps:g}" for eps in table["eps"]])
    return pd.concat([left, cost.counts(table), found], axis=1)


def courses(reader: Reader, runs: pd.DataFrame) -> pd.DataFrame:
    """Accuracy and sizes over epochs of every finished run.

    Returns:
        Columns rule, reduction, eps, seed, epoch, accuracy, hidden (‖h_L‖), credit (‖a_L‖),
        credit_0 (‖a_0‖); nan at epochs without a measurement.

    Raises:
        CreditError: as `shared`.
    """
    depth, done = int(shared(runs)["depth"]), finished(runs)
    names = {
        ACCURACY: "accuracy",
        f"hidden_norm/h{depth:02d}": "hidden",
        f"credit_norm/h{depth:02d}": "credit",
        "credit_norm/h00": "credit_0",
    }
    points = reader.history(done["run_id"], list(names)).drop_duplicates(
        ["run_id", "key", "step"], keep="last"
    )
    wide = points.pivot(index=["run_id", "step"], columns="key", values="value")
    wide = wide.rename(columns=names).reindex(columns=list(names.values())).reset_index()
    labels = {"credit_reduction": "reduction", "credit_eps": "eps"}
    who = done[["run_id", "rule", *labels, "seed"]].rename(columns=labels)
    joined = who.merge(wide.rename(columns={"step": "epoch"}), on="run_id").drop(columns="run_id")
    joined.columns.name = None
    keys = ["rule", "reduction", "eps", "seed", "epoch"]
    return joined.sort_values(keys, ignore_index=True)


def medians(courses: pd.DataFrame) -> pd.DataFrame:
    """`courses` over seeds: mean accuracy, its `_sd` and `_n`, median sizes, and n."""
    keys = ["rule", "reduction", "eps", "epoch"]
    rows = []
    for _, own in courses.groupby(keys, sort=False):
        row: dict[str, Any] = dict(own[keys].iloc[0]) | spread("accuracy", own["accuracy"])
        row |= {name: own[name].median() for name in ("hidden", "credit", "credit_0")}
        rows.append(row | {"n": len(own)})
    return pd.DataFrame(rows)


def _size(runs: pd.DataFrame, key: str) -> float:
    return float(pd.Series(metric(runs, key), dtype=float).median())


def _kept(rms: float, eps: float) -> float:
    return rms / (rms + eps) if rms + eps > 0 else float("nan")


def _pair(row: dict[str, Any]) -> str:
    mean, sd = row["reported_accuracy"], row["reported_sd"]
    return "" if pd.isna(mean) else short(mean) + ("" if pd.isna(sd) else f" ± {short(sd)}")
