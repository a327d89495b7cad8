"""Sentences of a report that experiments share, all of them made from the runs and their tables."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pandas as pd

from credit.analysis import tables
from credit.analysis.selection import in_order
from credit.analysis.story import KINDS
from credit.analysis.wording import LEARNED, short
from credit.errors import CreditError
from credit.spec import format_value

_STATUSES = ("pass", "fail", "undefined")


def network(runs: pd.DataFrame) -> str:
    """What was trained: "Residual MLP on cifar10, d = 256 units ..."."""
    norm = {True: "with", False: "without"}
    norms = " or ".join(norm[value] for value in sorted(set(runs["terminal_norm"]), reverse=True))
    bend = listed(runs, "activation")
    if set(runs["activation"]) == {"phi"}:
        bend = f"φ(z) = (1−α) z + α tanh(z), α = {listed(runs, 'alpha')}"
    return (
        f"Residual MLP on {listed(runs, 'dataset')}: d = {listed(runs, 'width')} units per hidden "
        f"state, L = {listed(runs, 'depth')} residual blocks ({bend}), {norms} LayerNorm before "
        f"the output layer; the last k = {listed(runs, 'k')} blocks train."
    )


def training(runs: pd.DataFrame) -> str:
    """For how long, on how much, by which optimizer."""
    samples = sorted(set(runs["train_samples"]))
    used = " or ".join("all samples" if n == 0 else f"the first {n} samples" for n in samples)
    crops = " with random crops and flips" if runs["augment"].all() else ""
    return (
        f"Training: {listed(runs, 'epochs')} epochs over {used}{crops} in batches of "
        f"{listed(runs, 'batch_size')}; AdamW, learning rate {listed(runs, 'lr')} falling to 0 by "
        f"a cosine, weight decay {listed(runs, 'weight_decay')}; {listed(runs, 'precision')} on "
        f"{listed(runs, 'device')}."
    )


def estimators(runs: pd.DataFrame) -> tuple[str, ...]:
    """What learns beside the network; nothing where no rule learns."""
    own = runs.loc[runs["rule"].isin(LEARNED)]
    if own.empty:
        return ()
    return (
        f"{_and(in_order(own['rule']))} learn an estimator of the credit beside the network: "
        f"{listed(own, 'estimator_depth')} layers of {listed(own, 'estimator_width')} units, AdamW "
        f"at learning rate {listed(own, 'estimator_lr')}; of each sample a step shows it so many "
        f"layers: {listed(own, 'estimator_layers')} (0: all).",
    )


def measured(runs: pd.DataFrame) -> str:
    """On what and when, and that nothing is selected by it."""
    return (
        f"Measured on {listed(runs, 'measure_samples')} held-out samples, every "
        f"{listed(runs, 'measure_every')} epochs and at the last. What counts is the last epoch: "
        "test accuracy selects neither an epoch nor a run."
    )


def setup(runs: pd.DataFrame) -> tuple[str, ...]:
    """Network, training, estimators and measurement of a sweep that trains networks."""
    return (network(runs), training(runs), *estimators(runs), measured(runs))


def bars(table: pd.DataFrame) -> str:
    """What the error bars of a figure are, from the counts `n` of its table."""
    counts = table.loc[table["n"] > 0, "n"]
    if counts.empty:
        return "No run has finished yet."
    if counts.max() == 1:
        return "One seed (n = 1), so no error bars."
    return f"Points and error bars: {tables.seeds_text(table)}."


def ranking(
    table: pd.DataFrame,
    label: Sequence[str],
    quantity: str,
    what: str,
    sd: str = "",
    form: Callable[[float], str] = short,
) -> str:
    """The rows of a table by a quantity, the largest first, each with its sample sd.

    Args:
        label: columns whose values name a row.
        sd: the column of the sample sd; by default `<quantity>_sd`.
    """
    known = table.dropna(subset=[quantity]).sort_values(quantity, ascending=False, kind="stable")
    if known.empty:
        return f"No finished run has a valid {what}."
    named = [(_name(row, label), row) for row in known.to_dict("records")]
    spread = sd or f"{quantity}_sd"
    parts = [
        f"{name} {form(row[quantity])}"
        + (f" ± {form(row[spread])}" if pd.notna(row.get(spread)) else "")
        for name, row in named
    ]
    absent = [_name(row, label) for row in table.loc[table[quantity].isna()].to_dict("records")]
    missing = f"; no valid value: {', '.join(absent)}" if absent else ""
    return f"By {what}, the largest first: {', '.join(parts)}{missing}."


def findings(kind: str, runs: pd.DataFrame, verdicts: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    """What the verdicts come to, and where the kind has claims, their sentences.

    Args:
        runs: as the claims of the kind take them (`story.load`).
    """
    said: tuple[str, ...] = ()
    if kind in KINDS:
        try:
            said = tuple(claim.sentence for claim in KINDS[kind].claims(runs))
        except CreditError as error:
            said = (f"No claim can be judged: {error}.",)
    return (*tally(verdicts), *said)


def tally(verdicts: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    """How many checks pass, and which do not, by rule."""
    if not verdicts:
        return ()
    counts = {s: sum(v["status"] == s for v in verdicts) for s in _STATUSES}
    parts = [f"{n} {status}" for status, n in counts.items() if n]
    lines = [f"{len(verdicts)} checks: {', '.join(parts)}."]
    for status, start in (("fail", "Failed"), ("undefined", "Undefined")):
        by_rule: dict[str, list[str]] = {}
        for verdict in verdicts:
            if verdict["status"] == status:
                label = f" ({verdict['label']})" if verdict.get("label") else ""
                by_rule.setdefault(who(verdict), []).append(f"{verdict['check']}{label}")
        if by_rule:
            shown = "; ".join(f"{name}: {', '.join(checks)}" for name, checks in by_rule.items())
            lines.append(f"{start}, by rule: {shown}.")
    return tuple(lines)


def who(verdict: dict[str, Any]) -> str:
    """Whom a verdict is about: "dfa λ=0.01"."""
    return verdict["rule"] + (f" λ={verdict['penalty']:g}" if "penalty" in verdict else "")


def listed(runs: pd.DataFrame, name: str) -> str:
    """The values of a field among the runs: "256", or "0, 1, 2"."""
    return ", ".join(map(format_value, sorted(runs[name].unique().tolist())))


def _name(row: dict[str, Any], label: Sequence[str]) -> str:
    return " ".join(
        str(row[name]) if isinstance(row[name], str) else f"{name}={row[name]:g}" for name in label
    )


def _and(parts: Iterable[str]) -> str:
    *first, last = list(parts)
    return f"{', '.join(first)} and {last}" if first else last
