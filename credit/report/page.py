"""The report of a parent run: one HTML file that needs nothing else.

`report.html` lays it out; whatever is shown is escaped there or in `lab.table`, in one place.
"""

from collections.abc import Sequence
from dataclasses import fields
from datetime import UTC, datetime

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from credit.figures import caption, figure
from credit.lab import Results, Verdict
from credit.lab.departure import PUBLISHED
from credit.lab.table import html_table
from credit.lab.verdict import late
from credit.report.answer import STATUSES, answer, tally
from credit.report.commands import command
from credit.report.origin import Origin, lasted, origin_of, versions, when
from credit.report.setup import setup
from credit.report.svg import inline
from credit.spec import RunSpec, format_value
from credit.tracking.artifacts import visible
from credit.tracking.reader import Reader

MOST = 300
"""Rows from which a table is left to its CSV, and runs that are listed: the report stays small."""
_METRICS = {"accuracy/test": "test accuracy", "alignment/deep": "Γ", "rho/deep": "ρ"}


def build(reader: Reader, parent_id: str, found: Results) -> str:
    """Return the report of a parent run as one HTML document."""
    runs = found.frame.runs
    origin = origin_of(reader, parent_id, runs["run_id"] if len(runs) else ())
    drawn = figure(found)
    return (
        _environment()
        .get_template("report.html")
        .render(
            title=found.title,
            answer=answer(found),
            question=found.experiment.question,
            origin=origin,
            made=when(datetime.now(UTC)),
            setup=setup(runs) if len(runs) else [],
            figure=Markup("") if drawn is None else inline(drawn, caption(found), "f1-"),
            caption=caption(found),
            table=_table(found.wide),
            sources=found.sources,
            more={
                name: _table(own.map(found.frame.short))
                for name, own in found.more.items()
                if len(own) <= MOST
            },
            omitted=[name for name, own in found.more.items() if len(own) > MOST],
            glossary={one.symbol: one.meaning for one in found.experiment.columns if one.meaning},
            tally=tally(found.verdicts),
            verdicts=found.verdicts,
            statuses=STATUSES,
            late=late(found.verdicts),
            short=found.frame.short,
            controls=_controls(found),
            caveats=caveats(found, origin),
            settings=_table(_settings(runs)) if len(runs) else "",
            facts=_facts(runs, origin),
            runs=_runs(runs, origin),
            command=command(found.experiment, origin.params),
            versions=versions(),
        )
    )


def caveats(found: Results, origin: Origin) -> list[str]:
    """Return what is to be kept in mind: of the experiment, its size, its runs and its code."""
    said = list(found.experiment.caveats)
    if found.settings != PUBLISHED:
        said.append(f"Differences between these runs and the published preset: {found.settings}.")
    if len(found.table) and "n" in found.table and found.table["n"].max() == 1:
        said.append("One seed (n = 1): no spread is known, and a small difference may be a seed's.")
    left = found.frame.runs.loc[~found.frame.runs.index.isin(found.frame.done.index)]
    for status, own in left.groupby("status"):
        said.append(f"{len(own)} runs are {status} and count nowhere: {_few(own['name'])}.")
    commits = [commit for commit in origin.commits if commit]
    if len(commits) > 1:
        said.append(f"The runs were made by {len(commits)} versions of the code.")
    if origin.changed:
        said.append(f"In {origin.changed} runs the code differed from the commit that they name.")
    if origin.imported:
        said.append(f"{origin.imported} runs were imported: this store did not see them train.")
    return said


def numbers_of(verdict: Verdict) -> str:
    """Return a verdict's numbers by place and seed, a line each."""
    lines = []
    for own in verdict.numbers:
        seeds = ", ".join(f"seed {seed}: {value:.4g}" for seed, value in own.by_seed.items())
        head = " ".join(filter(None, (own.place, own.symbol)))
        lines.append(f"{head} {own.mean:.4g}" + (f" ({seeds})" if seeds else ""))
    return "\n".join(lines)


def _controls(found: Results) -> str:
    """Return Γ of credits with a known answer, of every cell that measured them."""
    rows, done = [], found.frame.done
    names = {"copy/deep": "g_L passed back", "copy/deep_inner": "g_L passed back, l < L"}
    known = {key: head for key, head in names.items() if key in done and done[key].notna().any()}
    if not known:
        return ""
    factors = [factor.name for factor in found.frame.factors]
    for labels, own in done.groupby(factors, sort=False):
        shown = {n: str(found.frame.short(v)) for n, v in zip(factors, labels, strict=True)}
        own_gamma = {"Γ": f"{own['alignment/deep'].mean():.3f}"} if "alignment/deep" in own else {}
        rows.append({**shown, **own_gamma, **{h: f"{own[k].mean():.3f}" for k, h in known.items()}})
    return _table(pd.DataFrame(rows))


def _settings(runs: pd.DataFrame) -> pd.DataFrame:
    """Return every setting with its values, those that vary first."""
    rows = []
    for knob in fields(RunSpec):
        values = sorted(runs[knob.name].unique().tolist())
        if values == [getattr(RunSpec, knob.name)]:
            continue
        shown = ", ".join(map(format_value, values[:12])) + (" …" if len(values) > 12 else "")
        default = format_value(getattr(RunSpec, knob.name))
        rows.append((len(values) == 1, knob.name, shown, default, knob.metadata["help"]))
    columns = ["setting", "values", "default", "meaning"]
    return pd.DataFrame([row[1:] for row in sorted(rows, key=lambda row: row[0])], columns=columns)


def _facts(runs: pd.DataFrame, origin: Origin) -> dict[str, str]:
    """Return where the runs are, by what they were made, and how long that took."""
    facts = {
        "parent run": f"{origin.name} {origin.run_id}",
        "kind": origin.kind,
        "tracking store": origin.uri,
        "experiment": origin.experiment,
        "code (git commit)": ", ".join(commit for commit in origin.commits if commit),
        "parent started": when(origin.started),
        "parent ended": when(origin.ended),
    }
    if len(runs):
        counts = runs["status"].value_counts()
        facts["child runs"] = ", ".join(f"{n} {status}" for status, n in counts.items())
    if origin.started and origin.ended:
        facts["wall time of the parent"] = lasted((origin.ended - origin.started).total_seconds())
    if origin.spans:
        first, last = min(s for s, _ in origin.spans), max(e for _, e in origin.spans)
        facts["first run started to last run ended"] = lasted((last - first) / 1000)
    return {name: value for name, value in facts.items() if value}


def _runs(runs: pd.DataFrame, origin: Origin) -> Markup:
    """Return every run with its last values, each a link where a server shows it."""
    rows = []
    for run in runs.head(MOST).to_dict("records"):
        values = {head: run.get(key) for key, head in _METRICS.items()}
        rows.append(
            {
                "run": run["name"],
                "id": run["run_id"],
                "status": run["status"],
                **{h: "" if pd.isna(v) else f"{v:.4g}" for h, v in values.items()},
                "reason": "" if pd.isna(run["reason"]) else run["reason"],
            }
        )
    page = Markup(_table(pd.DataFrame(rows)))
    for row in rows if origin.http else ():
        run_id = escape(row["id"])
        link = f'<a href="{escape(origin.page(row["id"]))}">{run_id}</a>'
        page = Markup(page.replace(f">{run_id}<", f">{link}<"))
    return page


def _table(table: pd.DataFrame) -> Markup:
    def shown(value: object) -> str:
        if pd.isna(value):  # pyright: ignore[reportArgumentType]
            return ""
        return visible(f"{value:.4g}" if isinstance(value, float) else str(value), keep="\n")

    return Markup(html_table(table.map(shown))) if len(table) else Markup("")


def _few(names: Sequence[str] | pd.Series) -> str:
    known = list(names)
    more = f" and {len(known) - 8} more" if len(known) > 8 else ""
    return f"{', '.join(known[:8])}{more}"


def _environment() -> Environment:
    """Return what templates are read with. Whatever they are given is escaped, but for Markup."""
    found = Environment(
        loader=PackageLoader("credit.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_plain,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.globals["numbers_of"] = numbers_of
    return found


def _plain(value: object) -> object:
    """Return a text without characters that cannot be seen, which could turn the page around."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return visible(value, keep="\n")
