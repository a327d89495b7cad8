"""Results of a finished experiment: read back from the tracking server, logged on its parent run.

Nothing here trains or remembers: the same tables, figures, verdicts and report can be rebuilt from
any server that holds the runs (`report`). What they are is said in `credit.analysis.experiments`,
one file per kind of experiment.
"""

import importlib
import pkgutil
import sys
import traceback
from pathlib import Path

import pandas as pd

from credit.analysis import experiments
from credit.analysis.appendix import who
from credit.analysis.results import Results
from credit.errors import CreditError
from credit.pages import show
from credit.tracking import reader as reading
from credit.tracking.reader import Reader
from credit.tracking.writer import Store, log_figure, log_json, log_table, log_text, markdown

SINGLE = "train"
"""The kind of a parent with one run, which has nothing to compare."""
UNTRAINED = "frozen_init"
"""The kind of a parent that measures itself and has no child runs."""
KINDS = (*sorted(module.name for module in pkgutil.iter_modules(experiments.__path__)), SINGLE)
"""Every kind of parent run with child runs."""
REPORT = "report.html"


def publish(store: Store, parent_id: str, strict: bool = False) -> str:
    """Rebuild what belongs to a parent run, from the tracking server alone.

    Args:
        strict: whether a report that cannot be built is raised. A finished sweep is not: it says so
            on stderr, after everything else is logged.

    Returns:
        what to print in the terminal.

    Raises:
        CreditError: no such run, not a parent run, without children, or of a kind that has no
            report.
    """
    reader = reading.connect(store.uri)
    kind = reader.run(parent_id).data.tags.get("credit.kind")
    if kind == UNTRAINED:
        return _report(store, reader, parent_id, kind, pd.DataFrame(), None, strict)
    if kind not in KINDS:
        raise CreditError(
            f"run {parent_id} is of kind {kind!r}: pass the id of a parent run of kind "
            f"{', '.join((*KINDS, UNTRAINED))}"
        )
    runs = reader.runs(parent=parent_id)
    if runs.empty:
        raise CreditError(f"run {parent_id} has no child runs: nothing to report")
    if kind == SINGLE:
        report = _report(store, reader, parent_id, kind, runs, None, strict)
        return _single(store, runs, report)
    module = importlib.import_module(f"{experiments.__name__}.{kind}")
    found: Results = module.results(reader, runs)
    log_text(store, parent_id, found.table.to_csv(index=False), "table.csv")
    log_text(store, parent_id, markdown(found.wide), "table.md")
    for name, table in found.more.items():
        log_table(store, parent_id, table, name)
    if found.figure is not None:
        log_figure(store, parent_id, found.figure, "figure")
    log_json(store, parent_id, found.verdicts, "verdicts.json")
    charts = show(store, parent_id, runs, found)
    report = _report(store, reader, parent_id, kind, runs, found, strict)
    notes = [*found.notes]
    for table in found.beside.values():
        notes += ["", table.to_string(index=False)]
    said = getattr(module, "VERDICTS_IN_TEXT", False)
    return "\n".join(
        [
            *("", found.title),
            *("", found.text or found.wide.to_string(index=False, na_rep="")),
            *(("", *notes) if notes else ()),
            *(() if said else ("", verdict_text(found.verdicts))),
            "",
            f"figure  {reader.artifact(parent_id, 'figure.png')}",
            *([report] if report else []),
            *([charts] if charts else []),
            f"run     {parent_id}",
            f"UI      {store.ui_command}",
        ]
    )


def verdict_text(verdicts: list[dict]) -> str:
    """One line per verdict: rule, check, status, reason."""
    names = [who(v) for v in verdicts]
    width = max(map(len, names), default=0)
    return "\n".join(
        f"{name:<{width}}  {v['check']:<12}  {v['status']:<9}  {v['reason']}"
        for name, v in zip(names, verdicts, strict=True)
    )


def _single(store: Store, runs: pd.DataFrame, report: str) -> str:
    """One line on a single run, and where to look."""
    run = runs.iloc[0]
    line = f"{run['name']}: {run['status']}"
    if run["status"] == "FINISHED" and "accuracy/test" in run:
        line += f", test accuracy {run['accuracy/test']:.4f} after {run['epochs']} epochs"
    lines = ["", line, *([report] if report else []), f"run id {run['run_id']}", store.ui_command]
    return "\n".join(lines)


def _report(
    store: Store,
    reader: Reader,
    parent_id: str,
    kind: str,
    runs: pd.DataFrame,
    found: Results | None,
    strict: bool,
) -> str:
    """Log the report; return a line on where it is, or nothing if it could not be built."""
    try:
        from credit import report  # here: without jinja2 all the rest is published
        from credit.report import short

        if found is None:
            found = (
                short.single(reader, runs)
                if kind == SINGLE
                else short.frozen_init(reader, parent_id)
            )
        page = report.build(reader, parent_id, runs, found)
    except Exception as error:  # a table that is there must not be lost to one that is not
        place = traceback.extract_tb(error.__traceback__)[-1]
        what = " ".join(str(error).split()) or "no reason given"
        trouble = CreditError(
            f"{REPORT} of run {parent_id} could not be built ({type(error).__name__}: {what}, at "
            f"{Path(place.filename).name}:{place.lineno}); everything else is logged: mend it, "
            f"then python -m entrypoints.report --parent {parent_id}"
        )
        if strict:
            raise trouble from error
        print(f"credit: {trouble}", file=sys.stderr)
        return ""
    log_text(store, parent_id, page, REPORT)
    return f"report  {reader.artifact(parent_id, REPORT)}"
