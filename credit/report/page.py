"""The report of a parent run: one HTML file that needs nothing else.

`report.html` lays it out; whatever is shown is escaped there or in `lab.table`, in one place.
"""

import re
import time
from dataclasses import fields
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup, escape
from matplotlib.figure import Figure

from credit.figures import caption, save
from credit.lab import Results, Verdict
from credit.lab.departure import PUBLISHED
from credit.lab.table import html_table
from credit.report.answer import answer, tally
from credit.report.origin import Origin, command, origin_of, setup, versions, when
from credit.spec import RunSpec, format_value
from credit.tracking.artifacts import visible
from credit.tracking.reader import Reader

MOST = 300
"""Rows from which a table is left to its CSV, and runs that are listed: the report stays small."""
_METRICS = {"accuracy/test": "test accuracy", "alignment/deep": "Γ", "rho/deep": "ρ"}

_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")


def build(reader: Reader, parent_id: str, found: Results, drawn: Figure | None) -> str:
    """Return the report of a parent run as one HTML document."""
    runs, more = found.frame.runs, found.more
    origin = origin_of(reader, parent_id, runs["run_id"])
    said = caption(found)
    return template().render(
        title=found.title,
        answer=answer(found, settings=False),  # which the title says
        question=found.experiment.question,
        origin=origin,
        run=origin.run.info,
        started=when(origin.run.info.start_time)[:10],
        made=when(int(1000 * time.time())),
        setup=setup(runs),
        figure=Markup("") if drawn is None else _inline(drawn, said),
        caption=said,
        table=_table(found.wide),
        sources=found.sources,
        more={n: _table(t.map(found.frame.short)) for n, t in more.items() if len(t) <= MOST},
        omitted=[name for name, own in more.items() if len(own) > MOST],
        glossary={one.symbol: one.meaning for one in found.experiment.columns if one.meaning},
        tally=tally(found.verdicts),
        verdicts=found.verdicts,
        late=dict.fromkeys(v.check for v in found.verdicts if v.late),
        short=found.frame.short,
        numbers_of=numbers_of,
        controls=_controls(found),
        caveats=caveats(found, origin),
        settings=_table(_settings(runs)),
        facts=origin.facts(runs),
        runs=_runs(runs, origin),
        command=command(found.experiment, origin.run.data.params),
        versions=versions(),
    )


def _inline(figure: Figure, label: str) -> Markup:
    """Return the figure as an `svg` element, `label` read out in its place: one to a page.

    Its letters are outlines: words stand in comments alone, where matplotlib escapes them.
    """
    with TemporaryDirectory() as folder:
        (file,) = save(figure, Path(folder) / "figure", ("svg",))
        _, _, rest = _CONTROLS.sub(" ", file.read_text(encoding="utf-8")).partition("<svg ")
    return Markup('<svg role="img" aria-label="{}" {}').format(label, Markup(rest))


def excerpt(found: Results) -> str:
    """Return answer, table and checks as HTML, for a notebook."""
    rows = [(found.frame.short(v.rule), v.check, v.status) for v in found.verdicts]
    checks = pd.DataFrame(rows, columns=["rule", "check", "status"])
    return f"<p><b>{escape(answer(found))}</b></p>{_table(found.wide)}{_table(checks)}"


def caveats(found: Results, origin: Origin) -> list[str]:
    """Return what is to be kept in mind: of the experiment, its size, its runs and its code."""
    said = list(found.experiment.caveats)
    if found.settings != PUBLISHED:
        said.append(f"Differences between these runs and the published preset: {found.settings}.")
    if len(found.table) and "n" in found.table and found.table["n"].max() == 1:
        said.append("One seed (n = 1): no spread is known, and a small difference may be a seed's.")
    left = found.frame.runs.loc[~found.frame.runs.index.isin(found.frame.done.index)]
    for status, own in left.groupby("status"):
        names, more = ", ".join(own["name"].head(8)), len(own) - 8
        names += f" and {more} more" if more > 0 else ""
        said.append(f"{len(own)} runs are {status} and count nowhere: {names}.")
    if len(origin.commits) > 1:
        said.append(f"The runs were made by {len(origin.commits)} versions of the code.")
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
    if own := verdict.statistics:
        effect = "" if own.effect is None else f", effect {own.effect:.2f} sd from the bound"
        p = f"p {own.p:.2g} ({own.p_holm:.2g} after Holm's correction)"
        lines.append(f"95 % {own.low:.4g} to {own.high:.4g}{effect}, {p}")
    return "\n".join(lines)


def _controls(found: Results) -> Markup:
    """Return Γ of credits with a known answer, of every cell that measured them."""
    done, factors = found.frame.done, [factor.name for factor in found.frame.factors]
    names = {"copy/deep": "g_L passed back", "copy/deep_inner": "g_L passed back, l < L"}
    known = {key: head for key, head in names.items() if key in done and done[key].notna().any()}
    shown = {key: head for key, head in {"alignment/deep": "Γ", **known}.items() if key in done}
    rows = []
    for labels, own in done.groupby(factors, sort=False) if known else ():
        cell = zip(factors, map(str, map(found.frame.short, labels)), strict=True)
        rows.append(dict(cell) | {head: f"{own[key].mean():.3f}" for key, head in shown.items()})
    return _table(pd.DataFrame(rows))


def _settings(runs: pd.DataFrame) -> pd.DataFrame:
    """Return every setting that is not its default, those that vary first."""
    rows = []
    for knob in fields(RunSpec):
        values, default = sorted(runs[knob.name].unique().tolist()), getattr(RunSpec, knob.name)
        if values != [default]:
            shown = ", ".join(map(format_value, values[:12])) + (" …" if len(values) > 12 else "")
            said = (knob.name, shown, format_value(default), knob.metadata["help"])
            rows.append((len(values) == 1, said))
    rows = [said for _, said in sorted(rows, key=lambda row: row[0])]
    return pd.DataFrame(rows, columns=["setting", "values", "default", "meaning"])


def _runs(runs: pd.DataFrame, origin: Origin) -> Markup:
    """Return every run with its last values, each a link where a server shows it."""
    last = runs.head(MOST)
    names = {"name": "run", "run_id": "id", "status": "status", **_METRICS, "reason": "reason"}
    page = _table(last.reindex(columns=list(names)).rename(columns=names))
    for run_id in map(str, last["run_id"]) if origin.http else ():
        own = escape(run_id)
        link = f'<a href="{escape(origin.page(run_id))}">{own}</a>'
        page = Markup(page.replace(f">{own}<", f">{link}<"))
    return page


def _table(table: pd.DataFrame) -> Markup:
    def shown(value: object) -> str:
        if pd.isna(value):  # pyright: ignore[reportArgumentType]
            return ""
        return visible(f"{value:.4g}" if isinstance(value, float) else str(value), keep="\n")

    return Markup(html_table(table.map(shown))) if len(table) else Markup("")


def template(name: str = "report.html") -> Template:
    """Return a template of reports. Whatever it is given is escaped, but for Markup."""

    def plain(value: object) -> object:
        """Take out characters that cannot be seen, which could turn the page around."""
        text = isinstance(value, str) and not isinstance(value, Markup)
        return visible(value, keep="\n") if text else value

    return Environment(
        loader=PackageLoader("credit.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=plain,
        trim_blocks=True,
        lstrip_blocks=True,
    ).get_template(name)
