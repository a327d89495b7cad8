"""The audit of one rule: the whole protocol on it, every verdict with its reason.

Trains the rule's ladder beside bp's and the oracle's, and its matched controls; runs that a ladder
of the same settings has left are not trained again. `rule` is one of ours or package.module:Rule,
your own (docs/your_rule.md). Verdicts that fail are a result: the status is 0.

With run_id nothing is trained: the run's final weights are measured again, and every check that the
store's runs allow is judged.
"""

import sys
from collections.abc import Collection, Mapping, Sequence
from functools import partial

import torch

from credit import cli, grid, planning, sweep
from credit.data import Dataset, load
from credit.data.batches import held_out
from credit.errors import CreditError
from credit.measures.frozen_init import of_seeds, summary
from credit.networks import labels_seed, shape_of
from credit.presets import CONTROLS
from credit.remeasuring import restored
from credit.spec import RunSpec
from credit.sweep import Sweep, resolve
from credit.tracking.reader import connect
from credit.tracking.store import open_store
from credit.tracking.writer import log_results
from credit.training import trial
from credit.training.measuring import measure_held_out

NONE = "none"
IDENTITY_SAMPLES = 256
"""Test images, the first in file order, on which untrained networks are compared with identity."""
DEFAULTS = {
    "preset": "published",
    "rule": NONE,
    "run_id": NONE,
    "trust_rules": NONE,
    "ks": cli.PRESET,
    "controls": cli.PRESET,
    "control_penalty": cli.PRESET,
    "seeds": cli.PRESET,
    **cli.spec_options(
        *("rule", "k", "seed"),
        *("penalty", "random_labels", "start", "embed_trains", "head_trains"),  # of the controls
    ),
}
HELPS = {
    **cli.spec_helps(),
    "preset": f"where options left at '{cli.PRESET}' come from: "
    + ", ".join(grid.PRESETS["audit"]),
    "rule": "the rule to audit, needed without run_id: a name, or package.module:Rule for your own",
    "run_id": "a finished run to measure again and judge, in place of all training",
    "trust_rules": f"{cli.TRUST}; with run_id",
    "ks": "trainable blocks, comma-separated, 0 and depth among them; all is 0 to depth",
    "controls": f"comma-separated: {', '.join(CONTROLS[1:])}; none leaves them out",
    "control_penalty": "lambda of the control with the residual-branch penalty",
    "seeds": "seeds, comma-separated",
}


def main() -> None:
    """Audit a rule, or a run.

    Raises:
        CreditError: neither is named.
    """
    given = cli.options(__doc__, DEFAULTS, HELPS)
    if given["rule"] == given["run_id"] == NONE:
        raise CreditError(
            "nothing to audit is named: pass --rule (dfa, or my_rule:MyRule, docs/your_rule.md), "
            "or --run_id of a finished run"
        )
    print(audit_run(given) if given["run_id"] != NONE else audit_rule(given))


def audit_rule(given: Mapping[str, str]) -> str:
    """Train what is missing, publish the audit on its parent run, and return its text."""
    if given["trust_rules"] != NONE:
        raise CreditError("trust_rules is of a run that is audited: pass --run_id, or leave it out")
    chosen = grid.settled("audit", {k: v for k, v in given.items() if k != "trust_rules"})
    specs = [resolve(spec) for spec in grid.audit(chosen)]
    deep = max(specs, key=lambda spec: spec.depth)
    label = chosen["rule"].rpartition(":")[2]
    store = open_store()
    identity, source = examined(specs, deep)
    epochs = sum(spec.epochs for spec in specs)
    print(
        f"audit of {label}: {len(specs)} runs, {epochs} run-epochs, less what is there already",
        file=sys.stderr,
    )
    outcome = sweep.run(
        Sweep(
            kind="audit",
            name=f"audit {label} {deep.dataset} d{deep.width} L{deep.depth}",
            specs=specs,
            params=grid.parent_params(chosen, specs),
            description=f"Audit of the rule {chosen['rule']} on {deep.dataset}: ladder, direction "
            f"and controls. d={deep.width}, L={deep.depth}, {deep.epochs} epochs.",
        ),
        store,
    )
    log_results(store, outcome.parent_id, identity, source)
    from credit import publish  # here: it takes a second to load, and training comes first

    failed = [f"credit: {name} failed: {reason}" for name, reason in outcome.failures.items()]
    try:
        return "\n".join([publish.publish(store, outcome.parent_id), *failed])
    except publish.NoReport as error:
        error.result = "\n".join([error.result, *failed])
        raise


def examined(specs: Sequence[RunSpec], deep: RunSpec) -> tuple[dict[str, float], dict[str, str]]:
    """See that the runs can be trained, and how near to the identity their networks begin.

    Returns:
        the metrics of `frozen_init`, and what the tracking store calls the data.

    Raises:
        CreditError: there is not enough memory, or the rule fails on a few samples.
    """
    data = load(deep.dataset, train_samples=deep.train_samples)
    shape = partial(shape_of, data=data)
    trial.check_states(specs, shape)
    planning.check(specs, shape, planning.memory_free(deep.device))
    trial.check_credits(specs, shape, finite=True)
    source = {"name": data.name, "digest": data.digest, "source": data.source}
    return untrained(deep, data, {spec.seed for spec in specs}), source


def untrained(spec: RunSpec, data: Dataset, seeds: Collection[int]) -> dict[str, float]:
    """Return how near to the identity the networks of these seeds begin: `identity/...`."""
    x, _ = held_out(data, torch.float32, n=min(IDENTITY_SAMPLES, len(data.test_labels)))
    alpha = None if spec.activation == "gelu" else spec.alpha
    networks = of_seeds(shape_of(spec, data=data), sorted(seeds), x, alpha)
    return summary(list(networks.values()))


def audit_run(given: Mapping[str, str]) -> str:
    """The protocol on a finished run's final weights, as text. Nothing is trained or logged.

    Raises:
        CreditError: there is no such run or nothing to measure of it, its rule's code is another
            by now, or an option does not go with run_id.
    """
    run_id = given["run_id"]
    for name, value in given.items():
        if name not in ("run_id", "trust_rules") and value != DEFAULTS[name]:
            raise CreditError(
                f"{name}={value} does not go with run_id, whose run says what it is: leave out "
                f"{name} or run_id"
            )
    reader = connect()
    spec = grid.finished_network(reader, run_id)
    run = reader.run(run_id)
    here = spec.replace(device="cpu")
    data = load(spec.dataset, train_samples=spec.train_samples, labels_seed=labels_seed(spec))
    stack, _ = restored(reader, run_id, here, data, cli.trusted(given["trust_rules"]))
    (report,) = measure_held_out(stack, data)
    from credit.analysis import protocol_run, protocol_text

    beside = protocol_run.siblings(reader.runs(), spec)
    ids = [{"rule": rule, "seed": spec.seed, "ids": own} for rule, own in beside.ids.items()]
    found = protocol_run.checks(
        spec,
        run_id,
        report,
        untrained(here, data, [spec.seed]),
        beside,
        protocol_run.audited(reader, run_id, spec),
    )
    notes = protocol_run.notes(spec, report.metrics, run.data.metrics, beside)
    screen = protocol_text.report(found, ids=ids, notes=notes)
    return f"{protocol_text.summary(spec.rule, found)}.\n\n{screen}"


if __name__ == "__main__":
    cli.run(main)
