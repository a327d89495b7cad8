"""Results of a finished experiment: read back from the tracking store, logged on its parent run.

Nothing here trains or remembers: the same tables, figures, verdicts and report can be rebuilt from
any store that holds the runs (`python -m entrypoints.report`).
"""

import traceback
from pathlib import Path

from matplotlib.figure import Figure

from credit import experiments
from credit.errors import CreditError
from credit.figures import figure
from credit.lab import Frame, Results, Verdict, results, table, untrained
from credit.lab.verdict import PASS
from credit.report.answer import answer
from credit.report.ui import show
from credit.tracking import reader as reading
from credit.tracking import views
from credit.tracking.marks import settings
from credit.tracking.reader import Reader
from credit.tracking.store import is_http
from credit.tracking.writer import Store, log_figure, log_json, log_table, log_text, markdown

REPORT = "report.html"
CONTROLS = ("bp", "oracle")
"""Rules that stand beside the one in question."""


class NoReport(CreditError):
    """The report could not be built; everything else is logged, and `result` says what came out."""


def publish(store: Store, parent_id: str) -> str:
    """Rebuild what belongs to a parent run, from the tracking store alone; return its text.

    Raises NoReport where the report cannot be built; everything else is logged then.
    """
    reader = reading.connect(store.uri)
    found = read(reader, parent_id)
    log_text(store, parent_id, found.table.to_csv(index=False), "table.csv")
    log_text(store, parent_id, markdown(found.wide), "table.md")
    for name, own in found.more.items():
        log_table(store, parent_id, own, name)
    drawn = figure(found)
    if drawn is not None:
        log_figure(store, parent_id, drawn, "figure")
    log_json(store, parent_id, [verdict.row for verdict in found.verdicts], "verdicts.json")
    report = _report(store, reader, parent_id, found, drawn)
    charts = show(store, parent_id, found, isinstance(report, str), experiments.KINDS)
    lines = [*text(found), ""]
    if drawn is not None:
        lines.append(f"figure  {place(store, reader, parent_id, 'figure.png')}")
    lines += [charts] if charts else []
    lines += [f"run     {parent_id}", f"UI      {store.ui_command}"]
    if isinstance(report, NoReport):
        report.result = "\n".join(lines)
        raise report
    return "\n".join([*lines, report])


def read(reader: Reader, parent_id: str) -> Results:
    """Return the results of a parent run, or refuse a run that is none."""
    parent = reader.run(parent_id)
    kind = parent.data.tags.get("credit.kind", "")
    if kind not in experiments.KINDS:
        raise CreditError(
            f"run {parent_id} is of kind {kind!r}: pass the id of a parent run of kind "
            f"{', '.join(experiments.KINDS)}"
        )
    experiment = experiments.find(kind)
    if experiment.measured:
        known = settings(parent.data.params)
        asked = {name: known[name] for name in experiment.defaults() if name in known}
        specs = experiment.grid(experiment.settled(asked))
        runs = untrained.read_back(specs, experiment.columns, reader, parent_id)
    else:
        runs = reader.runs(parent=parent_id)
    if runs.empty:
        raise CreditError(f"run {parent_id} has no child runs: nothing to report")
    return results(experiment, runs, reader, parent.data.metrics)


def text(found: Results) -> list[str]:
    """Return what the terminal shows: the answer first, then table, checks and settings."""
    own = found.settings.partition(": ")[2]
    lines = ["", answer(found, settings=False), "", table.terminal(found.wide)]
    lines += ["", *found.sources] if found.sources else []
    if found.verdicts:
        lines += ["", *folded(found.verdicts, found.frame)]
    said = [f"{found.experiment.title}: {found.setup.removesuffix(f'; {found.settings}')}."]
    if own:
        said.append(f"Other than published: {own}. Its numbers may differ from the published ones.")
    return [*lines, "", *said]


def folded(verdicts: list[Verdict], frame: Frame) -> list[str]:
    """Return the verdicts' lines; of controls that pass all of their checks one line each."""
    own = {v.rule: [o for o in verdicts if o.rule == v.rule] for v in verdicts}
    passed = [r for r in CONTROLS if r in own and {v.status for v in own[r]} == {PASS}]
    passed = passed if len(passed) < len(own) else []
    lines = verdict_lines([v for v in verdicts if v.rule not in passed], frame)
    return [*lines, *(f"{rule}: all {len(own[rule])} checks pass" for rule in passed)]


def verdict_lines(verdicts: list[Verdict], frame: Frame) -> list[str]:
    """Return one line per verdict: rule, check, status, reason."""
    rows = [(frame.short(v.rule), v.check, f"{v.status:<9}", v.reason) for v in verdicts]
    who, what = (max(len(row[column]) for row in rows) for column in (0, 1))
    return [f"{rule:<{who}}  {check:<{what}}  {rest}  {why}" for rule, check, rest, why in rows]


def _report(
    store: Store, reader: Reader, parent_id: str, found: Results, drawn: Figure | None
) -> str | NoReport:
    """Log the report; return a line on where it is, or why it could not be built."""
    try:
        from credit.report import page  # here: without jinja2 all the rest is published

        log_text(store, parent_id, page.build(reader, parent_id, found, drawn), REPORT)
    except Exception as error:  # a table that is there must not be lost to a report that is not
        at = traceback.extract_tb(error.__traceback__)[-1]
        what = " ".join(str(error).split()) or "no reason given"
        missing = NoReport(
            f"{REPORT} of run {parent_id} could not be built ({type(error).__name__}: {what}, at "
            f"{Path(at.filename).name}:{at.lineno}); everything else is logged: mend it, "
            f"then credit report --parent {parent_id}"
        )
        missing.__cause__ = error
        return missing
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
