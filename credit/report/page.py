"""The page: everything a report shows, laid out by `report.html`."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from credit.analysis import appendix, boundary_checks, copy_control, protocol_checks
from credit.analysis.answer import plain_answer
from credit.analysis.results import Results
from credit.report import caveats, commands, controls, glossary, settings, sources
from credit.report.grid import MOST, Cell, Grid, Link, of_frame, parts, text
from credit.report.origin import Origin, lasted, origin_of, versions, when
from credit.report.svg import inline
from credit.tracking.artifacts import visible
from credit.tracking.reader import Reader

STATUSES = ("pass", "fail", "undefined")
_VERDICT = ("rule", "check", "status", "label", "value", "threshold", "reason")


_STATES = {True: "changed", False: "unchanged", None: "not said whether changed"}


class Ruling(NamedTuple):
    """A verdict as a row: `place` are its further keys, such as penalty or quantity."""

    who: str
    place: list[str]
    check: str
    status: str
    label: str
    value: str
    threshold: str
    reason: str


def build(reader: Reader, parent_id: str, runs: pd.DataFrame, found: Results) -> str:
    """The report of a parent run as one HTML document.

    Args:
        runs: the parent's child runs, of `Reader.runs`; may be empty.
        found: what the experiment makes of them.
    """
    origin = origin_of(reader, parent_id, runs["run_id"] if len(runs) else ())
    head, _, rest = found.title.partition(": ")
    embedded = {name: own for name, own in found.more.items() if len(own) <= MOST}
    grids = [
        *(of_frame(own, caption) for caption, own in found.beside.items()),
        *(
            of_frame(own, f"{name}.csv")._replace(folded=True, data=True)
            for name, own in embedded.items()
        ),
    ]
    main = of_frame(found.wide, found.title, fold=False)
    rulings, places = _rulings(found.verdicts)
    marks = " ".join(
        [*main.columns, *(c for grid in grids for c in grid.columns), found.caption, found.title]
        + [f"{v['check']} {v['reason']}" for v in found.verdicts]
        + [*found.notes, *found.findings]
    )
    return (
        environment()
        .get_template("report.html")
        .render(
            head=head,
            rest=rest,
            answer="" if found.cells is None else plain_answer(found),
            origin=origin,
            parent=origin.link(parent_id),
            made=when(datetime.now(UTC)),
            tally={s: sum(v["status"] == s for v in found.verdicts) for s in STATUSES},
            found=found,
            setup=found.setup or (appendix.setup(runs) if len(runs) else ()),
            glossary=glossary.used(marks),
            varying=settings.varying(runs) if len(runs) else None,
            constant=settings.constant(runs) if len(runs) else None,
            parameters=settings.parameters(origin.params)._replace(data=len(runs) > 0),
            figure=_figure(found),
            main=parts(main),
            notes=[line for note in found.notes for line in note.splitlines() if line.strip()],
            grids=[part for grid in grids for part in ([grid] if grid.data else parts(grid))],
            omitted=[f"{name}.csv" for name in found.more if name not in embedded],
            rulings=rulings,
            late=late(found.verdicts),
            places=places,
            controls=_controls(reader, found),
            caveats=caveats.caveats(runs, found, origin),
            facts=_facts(runs, origin),
            trace=_trace(runs, found, origin),
            command=commands.command(origin.kind, origin.params, runs),
            made_at=_made_at(origin),
            versions=versions(),
        )
    )


def environment() -> Environment:
    """What templates are read with. Whatever they are given is escaped, but for Markup."""
    return Environment(
        loader=PackageLoader("credit.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_plain,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _plain(value: Any) -> Any:
    """A text without characters that cannot be seen, which could turn the page's order around."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return visible(value, keep="\n")


def late(verdicts: Sequence[dict[str, Any]]) -> list[str]:
    """Checks added or made stricter after the first runs, each once, where that is known."""
    names = dict.fromkeys(str(verdict["check"]) for verdict in verdicts)
    return [
        name
        for name in names
        if name in protocol_checks.ADDED
        or name.endswith(copy_control.check_of(""))
        or name.startswith(boundary_checks.TIGHTENED)
    ]


def _made_at(origin: Origin) -> str:
    """Which versions of the code made the runs, as a fact."""
    listed = [f"{commit} ({n})" for commit, n in origin.commits.most_common() if commit]
    unknown = origin.commits[""]
    if not listed:
        return "Which commit made the runs is not known." if unknown else "There are no runs yet."
    more = f"; {unknown} do not name theirs" if unknown else ""
    return f"The runs were made at the commits (number of runs): {', '.join(listed)}{more}."


def _figure(found: Results) -> Markup | None:
    if found.figure is None:
        return None
    return inline(found.figure, visible(f"Figure: {found.caption or found.title}"), "f1-")


def _rulings(verdicts: Sequence[dict[str, Any]]) -> tuple[list[Ruling], list[str]]:
    """The verdicts as rows, and what their further keys are called."""
    places = [
        name
        for name in dict.fromkeys(key for verdict in verdicts for key in verdict)
        if name not in _VERDICT
        and not any(isinstance(v.get(name), list | dict | tuple) for v in verdicts)
    ]
    rows = [
        Ruling(
            who=str(verdict["rule"]),
            place=[text(verdict.get(name)) for name in places],
            check=str(verdict["check"]),
            status=str(verdict["status"]),
            label=str(verdict.get("label") or ""),
            value=text(verdict.get("value")),
            threshold=text(verdict.get("threshold")),
            reason=str(verdict["reason"]),
        )
        for verdict in verdicts
    ]
    return rows, places


def _controls(reader: Reader, found: Results) -> dict[str, Any] | None:
    """Controls of the experiment; None where it has none."""
    if found.cells is None or found.cells.empty:
        return None
    groups = sources.groups(found.cells, found.by)
    first = [str(own["run_id"].iloc[0]) for _, own in groups]
    shown = {
        "sentences": controls.sentences(found.cells, found.by),
        "copies": controls.copies(found.cells, found.by),
        "calibration": controls.calibration(
            reader, found.cells.loc[found.cells["run_id"].isin(first)]
        ),
    }
    return shown if any(shown.values()) else None


def _trace(runs: pd.DataFrame, found: Results, origin: Origin) -> list[Grid]:
    """Which runs make which number, and all runs."""
    if runs.empty:
        return []
    own = found.cells
    made = own is not None and found.by and len(own)
    first = [sources.numbers(own, found.by, origin)] if made and own is not None else []
    return [*first, sources.every(runs, origin)]


def _facts(runs: pd.DataFrame, origin: Origin) -> list[tuple[str, Cell]]:
    """Where the runs are, by what they were made, and how long that took."""
    parent = origin.link(origin.run_id)
    facts: list[tuple[str, Cell]] = [
        ("parent run", [Link(origin.name), parent._replace(text=origin.run_id)]),
        ("kind", origin.kind),
        ("tracking store", [Link(origin.uri)]),
        ("experiment", origin.experiment),
    ]
    if len(runs):
        counts = runs["status"].value_counts()
        listed = ", ".join(f"{n} {status}" for status, n in counts.items())
        facts.append(("child runs", f"{len(runs)} ({listed})"))
        facts.append(("device", ", ".join(sorted(set(runs["device"])))))
        facts.append(("precision", ", ".join(sorted(set(runs["precision"])))))
    known = [commit for commit in origin.commits if commit]
    if known:
        facts.append(("code (git commit)", [Link(commit) for commit in known]))
    if origin.commit:
        facts.append(
            ("code of the parent", [Link(origin.commit), Link(_STATES[origin.parent_changed])])
        )
    facts.append(("parent started", when(origin.started)))
    facts.append(("parent ended", when(origin.ended)))
    if origin.started and origin.ended:
        facts.append(("wall time of the parent", lasted(_between(origin.started, origin.ended))))
    if origin.spans:
        first = min(start for start, _ in origin.spans)
        last = max(end for _, end in origin.spans)
        whole = lasted((last - first) / 1000)
        facts.append(("first run started to last run ended", whole))
    return [(name, value) for name, value in facts if value]


def _between(start: datetime, end: datetime) -> float:
    return (end - start).total_seconds()
