"""The pages of a published experiment in the MLflow UI: its run's, and those of all its runs."""

import sys

import pandas as pd

from credit.analysis import story
from credit.analysis.answer import answer, counts, page
from credit.analysis.drawing import style_of
from credit.analysis.results import Results
from credit.analysis.selection import IRRELEVANT, finished, in_order
from credit.spec import field_types
from credit.tracking.marks import CONTINUED_BY
from credit.tracking.store import AWAY, Store, shown
from credit.tracking.writer import notes, views

_MOST_COMPARED = 8


def show(store: Store, parent_id: str, runs: pd.DataFrame, found: Results) -> str:
    """Describe a parent run by its results, and prepare the views of its runs.

    Returns:
        a line on where the charts are; empty where the store takes no descriptions, which stderr
        then says: results that are logged are not lost to what the UI makes of them.
    """
    try:
        return _show(store, parent_id, runs, found)
    except AWAY as error:
        cause = (str(error).splitlines() or [type(error).__name__])[0][:200]
        print(f"credit: no page in the UI for run {parent_id} ({shown(cause)})", file=sys.stderr)
        return ""


def _show(store: Store, parent_id: str, runs: pd.DataFrame, found: Results) -> str:
    parent = store.client.get_run(parent_id)
    if CONTINUED_BY in parent.data.tags:  # its runs are shown by another parent
        return ""
    types = {name: kind for name, kind in field_types().items() if name not in IRRELEVANT}
    # what differs between rules only is their own way, and does not tell their runs apart
    varying = [
        name
        for name in types
        if any(len(set(own[name])) > 1 for _, own in runs.groupby("rule")) and name != "seed"
    ]
    fields = [*dict.fromkeys(("rule", "k", *varying, "seed"))]
    across = next((name for name in varying if types[name] in (int, float)), "")
    metrics = [name for name in runs.columns if "/" in name and set(runs[name].dropna())]
    key = views.view_key(parent_id)
    links = [
        f"[Report]({views.run_link(store, parent_id, 'report.html')})",
        f"[Curves of all {len(runs)} runs]({views.view_link(store, key, charts=True)})",
        f"[Table of runs]({views.view_link(store, key)})",
    ]
    if len(chosen := one_per_rule(runs)) > 1:
        compared = views.compare_link(store, list(chosen.values()))
        links.append(f"[Compare {', '.join(chosen)}]({compared})")
    links.append(f"[Other experiments]({views.view_link(store, views.OVERVIEW)})")
    text = page(found, views.file_link(parent_id, "figure.svg"), links)
    notes.set_colors(store, parent_id, {rule: style_of(rule).color for rule in set(runs["rule"])})
    notes.set_page(
        store,
        parent_id,
        text,
        answer(found),
        counts(found.verdicts) | {"runs/finished": float(list(runs["status"]).count("FINISHED"))},
    )
    name = f"{parent.info.run_name}, {parent.info.run_id[:4]}"
    views.save_runs_view(store, parent_id, name, fields, across, int(max(runs["depth"])), metrics)
    views.save_overview(store)
    answers = notes.answered(store, list(story.KINDS))
    views.drop_views(store, keep=[parent_id, *answers])
    notes.describe_experiment(store, answers)
    return f"charts  {store.ui_link.partition('#')[0]}{views.view_link(store, key, charts=True)}"


def one_per_rule(runs: pd.DataFrame) -> dict[str, str]:
    """Rule -> a finished run of it: all blocks trained, the first seed, else the newest."""
    done = finished(runs)
    done = done.sort_values(["k", "seed", "started"], ascending=[False, True, False])
    first = dict(zip(done["rule"][::-1], done["run_id"][::-1], strict=True))
    return {rule: str(first[rule]) for rule in in_order(first)[:_MOST_COMPARED]}
