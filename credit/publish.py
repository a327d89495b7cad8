"""Results of a finished experiment: read back from the tracking server, logged on its parent run.

Nothing here trains or remembers: the same tables, figures, verdicts and report can be rebuilt from
any server that holds the runs (`report`). What they are is said in `credit.analysis.experiments`,
one file per kind of experiment.
"""

import importlib
import pkgutil
import traceback
from pathlib import Path

import pandas as pd

from credit.analysis import experiments
from credit.analysis.answer import plain_answer
from credit.analysis.appendix import who
from credit.analysis.results import Results
from credit.errors import CreditError
from credit.pages import show
from credit.tracking import reader as reading
from credit.tracking import views
from credit.tracking.reader import Reader
from credit.tracking.store import is_http
from credit.tracking.writer import Store, log_figure, log_json, log_table, log_text, markdown

SINGLE = "train"
"""The kind of a parent with one run, which has nothing to compare."""
UNTRAINED = "frozen_init"
"""The kind of a parent that measures itself and has no child runs."""
KINDS = (*sorted(module.name for module in pkgutil.iter_modules(experiments.__path__)), SINGLE)
"""Every kind of parent run with child runs."""
REPORT = "report.html"


class NoReport(CreditError):
    """The report could not be built; everything else is logged, and `result` says what came out."""


def publish(store: Store, parent_id: str) -> str:
    """Rebuild what belongs to a parent run, from the tracking server alone.

    Returns:
        what to print in the terminal.

    Raises:
        CreditError: no such run, not a parent run, without children, or of a kind that has no
            report.
        NoReport: the report cannot be built; everything else is logged.
    """
    reader = reading.connect(store.uri)
    kind = reader.run(parent_id).data.tags.get("credit.kind")
    if kind == UNTRAINED:
        report = _report(store, reader, parent_id, kind, pd.DataFrame())
        return _complete([], report)
    if kind not in KINDS:
        raise CreditError(
            f"run {parent_id} is of kind {kind!r}: pass the id of a parent run of kind "
            f"{', '.join((*KINDS, UNTRAINED))}"
        )
    runs = reader.runs(parent=parent_id)
    if runs.empty:
        raise CreditError(f"run {parent_id} has no child runs: nothing to report")
    if kind == SINGLE:
        return _complete(_single(store, runs), _report(store, reader, parent_id, kind, runs))
    module = importlib.import_module(f"{experiments.__name__}.{kind}")
    found: Results = module.results(reader, runs)
    log_text(store, parent_id, found.table.to_csv(index=False), "table.csv")
    log_text(store, parent_id, markdown(found.wide), "table.md")
    for name, table in found.more.items():
        log_table(store, parent_id, table, name)
    if found.figure is not None:
        log_figure(store, parent_id, found.figure, "figure")
    log_json(store, parent_id, found.verdicts, "verdicts.json")
    report = _report(store, reader, parent_id, kind, runs, found)
    charts = show(store, parent_id, runs, found, with_report=isinstance(report, str))
    notes = [*found.notes]
    for table in found.beside.values():
        notes += ["", table.to_string(index=False)]
    said = getattr(module, "VERDICTS_IN_TEXT", False)
    lines = [
        *("", plain_answer(found)),
        *("", found.title),
        *("", found.text or found.wide.to_string(index=False, na_rep="")),
        *(("", *notes) if notes else ()),
        *(() if said else ("", verdict_text(found.verdicts))),
        "",
        f"figure  {place(store, reader, parent_id, 'figure.png')}",
        *([charts] if charts else []),
        f"run     {parent_id}",
        f"UI      {store.ui_command}",
    ]
    return _complete(lines, report)


def _complete(lines: list[str], report: str | NoReport) -> str:
    """The text for the terminal.

    Raises:
        NoReport: there is none.
    """
    if isinstance(report, NoReport):
        report.result = "\n".join(lines)
        raise report
    return "\n".join([*lines, report])


def verdict_text(verdicts: list[dict]) -> str:
    """One line per verdict: rule, check, status, reason."""
    names = [who(v) for v in verdicts]
    width = max(map(len, names), default=0)
    return "\n".join(
        f"{name:<{width}}  {v['check']:<12}  {v['status']:<9}  {v['reason']}"
        for name, v in zip(names, verdicts, strict=True)
    )


def _single(store: Store, runs: pd.DataFrame) -> list[str]:
    """One line on a single run, and where to look."""
    run = runs.iloc[0]
    line = f"{run['name']}: {run['status']}"
    if run["status"] == "FINISHED" and "accuracy/test" in run:
        line += f", test accuracy {run['accuracy/test']:.4f} after {run['epochs']} epochs"
    return ["", line, f"run id {run['run_id']}", store.ui_command]


def _report(
    store: Store,
    reader: Reader,
    parent_id: str,
    kind: str,
    runs: pd.DataFrame,
    found: Results | None = None,
) -> str | NoReport:
    """Log the report; return a line on where it is, or why it could not be built."""
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
        at = traceback.extract_tb(error.__traceback__)[-1]
        what = " ".join(str(error).split()) or "no reason given"
        missing = NoReport(
            f"{REPORT} of run {parent_id} could not be built ({type(error).__name__}: {what}, at "
            f"{Path(at.filename).name}:{at.lineno}); everything else is logged: mend it, "
            f"then python -m entrypoints.report --parent {parent_id}"
        )
        missing.__cause__ = error
        return missing
    log_text(store, parent_id, page, REPORT)
    return f"report  {place(store, reader, parent_id, REPORT)}"


def place(store: Store, reader: Reader, run_id: str, path: str) -> str:
    """Return where an artifact stays: its file, its page on the server, or its URI."""
    root = reader.run(run_id).info.artifact_uri or ""
    here = reading.local_path(root, path)
    if here and here.exists():
        return str(here)
    if is_http(store.uri):
        return store.ui_link.partition("#")[0] + views.run_link(store, run_id, path)
    return f"{root}/{path}"
