"""Results of a finished experiment: read back from the tracking server, logged on its parent run.

Nothing here trains or remembers: the same tables, figures and verdicts can be rebuilt from any
server that holds the runs (`report`). What they are is said in `credit.analysis.experiments`, one
file per kind of experiment.
"""

import importlib
import pkgutil

import pandas as pd

from credit.analysis import experiments
from credit.analysis.results import Results
from credit.errors import CreditError
from credit.tracking import reader as reading
from credit.tracking.writer import Store, log_figure, log_json, log_table, log_text, markdown

SINGLE = "train"
"""The kind of a parent with one run, which has nothing to compare."""
KINDS = (*sorted(module.name for module in pkgutil.iter_modules(experiments.__path__)), SINGLE)
"""Every kind of parent run."""


def publish(store: Store, parent_id: str) -> str:
    """Rebuild what belongs to a parent run, from the tracking server alone.

    Returns:
        what to print in the terminal.

    Raises:
        CreditError: no such run, not a parent run, without children, or of a kind that has no
            report.
    """
    reader = reading.connect(store.uri)
    kind = reader.run(parent_id).data.tags.get("credit.kind")
    if kind not in KINDS:
        raise CreditError(
            f"run {parent_id} is of kind {kind!r}: pass the id of a parent run of kind "
            f"{', '.join(KINDS)}"
        )
    runs = reader.runs(parent=parent_id)
    if runs.empty:
        raise CreditError(f"run {parent_id} has no child runs: nothing to report")
    if kind == SINGLE:
        return _single(store, runs)
    module = importlib.import_module(f"{experiments.__name__}.{kind}")
    found: Results = module.results(reader, runs)
    log_text(store, parent_id, found.table.to_csv(index=False), "table.csv")
    log_text(store, parent_id, markdown(found.wide), "table.md")
    for name, table in found.more.items():
        log_table(store, parent_id, table, name)
    log_figure(store, parent_id, found.figure, "figure")
    log_json(store, parent_id, found.verdicts, "verdicts.json")
    return "\n".join(
        [
            *("", found.title),
            *("", found.text or found.wide.to_string(index=False, na_rep="")),
            *(("", *found.notes) if found.notes else ()),
            *("", verdict_text(found.verdicts), ""),
            f"figure  {reader.artifact(parent_id, 'figure.png')}",
            f"run     {parent_id}",
            f"UI      {store.ui_command}",
        ]
    )


def verdict_text(verdicts: list[dict]) -> str:
    """One line per verdict: rule, check, status, reason."""
    who = [v["rule"] + (f" λ={v['penalty']:g}" if "penalty" in v else "") for v in verdicts]
    width = max(map(len, who), default=0)
    return "\n".join(
        f"{name:<{width}}  {v['check']:<12}  {v['status']:<9}  {v['reason']}"
        for name, v in zip(who, verdicts, strict=True)
    )


def _single(store: Store, runs: pd.DataFrame) -> str:
    """One line on a single run, and where to look."""
    run = runs.iloc[0]
    line = f"{run['name']}: {run['status']}"
    if run["status"] == "FINISHED":
        line += f", test accuracy {run['accuracy/test']:.4f} after {run['epochs']} epochs"
    return "\n".join(["", line, f"run id {run['run_id']}", store.ui_command])
