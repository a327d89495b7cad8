"""What was done, in sentences whose numbers are the settings of the runs."""

import pandas as pd

from credit.lab.looks import RULES
from credit.spec import LEARNED_FIELDS, RunSpec, format_value


def setup(runs: pd.DataFrame) -> list[str]:
    """Return network, training, estimators and measurement of a sweep."""
    return [network(runs), training(runs), *estimators(runs), measured(runs)]


def network(runs: pd.DataFrame) -> str:
    """Return what was trained."""
    norms = {True: "with", False: "without"}
    norm = " or ".join(norms[value] for value in sorted(set(runs["terminal_norm"]), reverse=True))
    bend = listed(runs, "activation")
    if set(runs["activation"]) == {"phi"}:
        bend = f"φ(z) = (1−α) z + α tanh(z), α = {listed(runs, 'alpha')}"
    return (
        f"Residual MLP on {listed(runs, 'dataset')}: d = {listed(runs, 'width')} units per hidden "
        f"state, L = {listed(runs, 'depth')} residual blocks ({bend}), {norm} LayerNorm before "
        f"the output layer; the last k = {listed(runs, 'k')} blocks train."
    )


def training(runs: pd.DataFrame) -> str:
    """Return for how long, on how much, by which optimizer."""
    samples = sorted(set(runs["train_samples"]))
    used = " or ".join("all samples" if n == 0 else f"the first {n} samples" for n in samples)
    crops = " with random crops and flips" if runs["augment"].all() else ""
    return (
        f"{listed(runs, 'epochs')} epochs over {used}{crops} in batches of "
        f"{listed(runs, 'batch_size')}; AdamW, learning rate {listed(runs, 'lr')} falling to 0 by "
        f"a cosine, weight decay {listed(runs, 'weight_decay')}; {listed(runs, 'precision')} on "
        f"{listed(runs, 'device')}; seeds {listed(runs, 'seed')}."
    )


def estimators(runs: pd.DataFrame) -> list[str]:
    """Return what learns beside the network; nothing where no rule learns."""
    own = runs.loc[[is_learned(run) for run in runs.to_dict("records")]]
    if own.empty:
        return []
    return [
        f"{', '.join(RULES.in_order(own['rule']))} learn an estimator beside the network: "
        f"{listed(own, 'estimator_depth')} layers of {listed(own, 'estimator_width')} units, AdamW "
        f"at {listed(own, 'estimator_lr')}; a step shows it each sample at "
        f"{listed(own, 'estimator_layers')} layers (0: all)."
    ]


def is_learned(run: dict) -> bool:
    """Return whether a run has an estimator: it logged its parameters, or has a knob of one."""
    known = run.get("cost/estimator_parameters")
    if known is not None and known == known:
        return known > 0
    return any(run[name] != getattr(RunSpec, name) for name in LEARNED_FIELDS)


def measured(runs: pd.DataFrame) -> str:
    """Return on what and when, and that nothing is selected by it."""
    return (
        f"Measured on {listed(runs, 'measure_samples')} held-out samples, every "
        f"{listed(runs, 'measure_every')} epochs and at the last. The last epoch counts: test "
        "accuracy selects neither an epoch nor a run."
    )


def listed(runs: pd.DataFrame, name: str) -> str:
    """Return the values of a field among the runs: "256", or "0, 1, 2"."""
    return ", ".join(map(format_value, sorted(runs[name].unique().tolist())))
