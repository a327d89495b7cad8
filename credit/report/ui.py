"""The page of an experiment in the MLflow UI: the description of its parent run, and its views."""

import sys
from collections.abc import Mapping, Sequence

import pandas as pd

from credit.lab import Results
from credit.lab.frame import IRRELEVANT, finished
from credit.lab.looks import RULES, fitted, style_of
from credit.lab.verdict import PASS
from credit.report.answer import answer, counts, tally
from credit.spec import RunSpec, field_types
from credit.tracking.artifacts import harmless, markdown
from credit.tracking.store import AWAY, Store, repeated_if_taken, shown
from credit.tracking.writer import notes, views

MOST = 4600
"""Characters of a description: an export refuses texts above 5000, and its links may grow."""
_MOST_COMPARED = 8
_SHOWN = 3
"""Rules whose accuracy and gain are columns of the view of all results."""


def show(store: Store, parent_id: str, found: Results, with_report: bool, order: Sequence[str]):
    """Describe a parent run by its results, and prepare the views of its runs.

    `with_report` says whether its report is there, to be linked; `order` lists the kinds of
    experiments. Returns a line on where the charts are: "" where there are none. A store that takes
    no descriptions costs the page, which stderr says, and no logged result.
    """
    try:
        return _show(store, parent_id, found, with_report, order)
    except AWAY as error:
        cause = (str(error).splitlines() or [type(error).__name__])[0][:200]
        print(f"credit: no page in the UI for run {parent_id} ({shown(cause)})", file=sys.stderr)
        return ""


@repeated_if_taken
def _show(
    store: Store, parent_id: str, found: Results, with_report: bool, order: Sequence[str]
) -> str:
    runs, links, charts = found.frame.runs, [], ""
    metrics = {"runs/finished": float((runs["status"] == "FINISHED").sum())}
    if with_report:
        links.append(f"[Report]({views.run_link(store, parent_id, 'report.html')})")
    if not found.experiment.measured:  # else the parent is the only run: no curves, no rivals
        parent = store.client.get_run(parent_id)
        key, chosen = views.view_key(parent_id), one_per_rule(runs)
        charts = views.view_link(store, key, charts=True)
        links += [f"[Curves of all {len(runs)} runs]({charts})"]
        links += [f"[Table of runs]({views.view_link(store, key)})"]
        if len(chosen) > 1:
            names = notes.plain(", ".join(map(found.frame.short, chosen)))
            links.append(f"[Compare {names}]({views.compare_link(store, list(chosen.values()))})")
        colors = {rule: style_of(rule).color for rule in set(runs["rule"])}
        notes.set_colors(store, parent_id, colors)
        _save_view(store, parent_id, f"{parent.info.run_name}, {parent_id[:4]}", found)
        metrics |= counts(found.verdicts)
        metrics |= {f"accuracy/{r}": value for r, value in accuracies(runs, chosen).items()}
        metrics |= rungs(runs, found.frame.depth)
    links.append(f"[Other experiments]({views.view_link(store, views.OVERVIEW)})")
    text = page(found, views.file_link(parent_id, "figure.svg"), links)
    notes.set_page(store, parent_id, text, harmless(answer(found)), metrics)
    _describe(store, parent_id, order)
    return f"charts  {store.ui_link.partition('#')[0]}{charts}" if charts else ""


def _save_view(store: Store, parent_id: str, name: str, found: Results) -> None:
    """Save the view of a parent's runs: its columns, and charts over what varies."""
    runs, types = found.frame.runs, field_types()
    varying = [n for n in types if n not in IRRELEVANT | {"seed"} and runs[n].nunique() > 1]
    metrics = [n for n in runs.columns if "/" in n and runs[n].notna().any()]
    across = next((n for n in varying if types[n] in (int, float)), "")
    fields = [*dict.fromkeys(("rule", "k", *varying, "seed"))]
    views.save_runs_view(store, parent_id, name, fields, across, found.frame.depth, metrics)


def _describe(store: Store, parent_id: str, order: Sequence[str]) -> None:
    """Bring the table of experiments and the experiment's own page up to date."""
    parents = notes.with_answer(store)
    told = {tuple(name.split("/")) for run in parents for name in run.data.metrics}
    names = [
        f"{what}/{rule}"
        for what in ("accuracy", "gain")
        for rule in RULES.in_order(n[1] for n in told if n[0] == what and len(n) == 2)[:_SHOWN]
    ]
    views.save_overview(store, names)
    views.drop_views(store, keep=[parent_id, *(run.info.run_id for run in parents)])
    notes.describe_experiment(store, notes.answered(parents, order))


def page(found: Results, figure: str, links: Sequence[str]) -> str:
    """Return the description of a parent run in Markdown, of at most MOST characters.

    Answer, question, `figure` (its address), `links` and caveats are always whole; table and checks
    are shortened by rows, and say so.
    """
    top = [f"**{harmless(answer(found))}**", harmless(found.experiment.question), " · ".join(links)]
    top += [f"![figure]({figure})"] if found.experiment.figure else []
    kept = [f"- {harmless(line)}" for line in found.experiment.caveats]
    last = ["\n".join(["**Keep in mind**", "", *kept])] if kept else []
    last.append(harmless(found.title))
    room = MOST - sum(len(part) + 2 for part in [*top, *last])
    lines = markdown(found.wide).splitlines()
    checks = [
        f"- **{harmless(fitted(found.frame.short(v.rule)))}** {harmless(v.check)}: {v.status}, "
        f"{harmless(v.reason)}"
        for v in found.verdicts
        if v.status != PASS
    ]
    more = "… {} more in the report"
    numbers = notes.shortened(["**Numbers**", "", *lines[:2]], lines[2:], room * 6 // 10, more)
    count = ["**Checks**", "", f"- {tally(found.verdicts)}"]
    reasons = notes.shortened(count, checks, room - len(numbers), more)
    return "\n\n".join([*top, numbers, *([reasons] if found.verdicts else []), *last])


def accuracies(runs: pd.DataFrame, chosen: Mapping[str, str]) -> dict[str, float]:
    """Return the mean test accuracy by rule, over the seeds of the runs of `one_per_rule`."""
    done = finished(runs)
    settings = done[[name for name in field_types() if name != "seed"]]
    means = {}
    for rule, run_id in chosen.items():
        same = (settings == settings.loc[done["run_id"] == run_id].iloc[0]).all(axis=1)
        means[rule] = float(done.loc[same, "accuracy/test"].mean())
    return means


def rungs(runs: pd.DataFrame, depth: int) -> dict[str, float]:
    """Return accuracy with no block and with all blocks trained, and their difference, by rule.

    Of rules of which both were run, each as one configuration.
    """
    done, known = finished(runs), {}
    settings = [n for n in field_types() if n not in IRRELEVANT | {"seed", "k"}]
    for rule, own in done.groupby("rule"):
        means = dict(own.groupby("k")["accuracy/test"].mean().items())
        if {0, depth} <= means.keys() and len(own.drop_duplicates(settings)) == 1:
            known |= {f"accuracy/{rule}/k0": means[0], f"accuracy/{rule}/kL": means[depth]}
            known[f"gain/{rule}"] = means[depth] - means[0]
    return known


def one_per_rule(runs: pd.DataFrame) -> dict[str, str]:
    """Return a finished run of every rule with all blocks trained, by rule.

    Of several the one whose settings differ least from the defaults, of the first seed.
    """
    done = finished(runs)
    done = done.loc[(done["k"] == done["depth"]) | (done["start"] != "none")]
    own = [n for n in field_types() if n not in IRRELEVANT | {"seed", "rule", "credit_reduction"}]
    apart = sum((done[name] != getattr(RunSpec, name)).astype(int) for name in own)
    nearest = done.assign(apart=apart).sort_values(["apart", "seed"], kind="stable")
    first = nearest.drop_duplicates("rule").set_index("rule")["run_id"]
    return {rule: str(first[rule]) for rule in RULES.in_order(done["rule"])[:_MOST_COMPARED]}
