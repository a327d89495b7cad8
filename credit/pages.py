"""The pages of a published experiment in the MLflow UI: its run's, and those of all its runs."""

import math
import sys
from collections.abc import Mapping
from dataclasses import fields, is_dataclass

import pandas as pd

from credit.analysis import story
from credit.analysis.answer import answer, counts, page
from credit.analysis.drawing import style_of
from credit.analysis.results import Results
from credit.analysis.selection import IRRELEVANT, OWN, finished, in_order, pick
from credit.analysis.wording import LEARNED
from credit.spec import LEARNED_FIELDS, RunSpec, field_types, format_value
from credit.tracking.marks import RESOLVED, settings
from credit.tracking.store import AWAY, Store, repeated_if_taken, shown
from credit.tracking.writer import join, notes, views

_MOST_COMPARED = 8


def show(
    store: Store, parent_id: str, runs: pd.DataFrame, found: Results, with_report: bool
) -> str:
    """Describe a parent run by its results, and prepare the views of its runs.

    Args:
        with_report: whether its report is there, to be linked.

    Returns:
        a line on where the charts are; empty where the store takes no descriptions, which stderr
        then says: results that are logged are not lost to what the UI makes of them.
    """
    try:
        return _show(store, parent_id, runs, found, with_report)
    except AWAY as error:
        cause = shown((str(error).splitlines() or [type(error).__name__])[0])[:200]
        print(f"credit: no page in the UI for run {parent_id} ({cause})", file=sys.stderr)
        return ""


@repeated_if_taken
def _show(
    store: Store, parent_id: str, runs: pd.DataFrame, found: Results, with_report: bool
) -> str:
    parent = store.client.get_run(parent_id)
    join(store, parent_id, runs["run_id"])  # those of older stores and exports do not say so
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
    report = f"[Report]({views.run_link(store, parent_id, 'report.html')})"
    links = [
        *([report] if with_report else []),
        f"[Curves of all {len(runs)} runs]({views.view_link(store, key, charts=True)})",
        f"[Table of runs]({views.view_link(store, key)})",
    ]
    if chosen := one_per_rule(runs):
        compared = views.compare_link(store, list(chosen.values()))
        links.append(f"[Compare {notes.plain(', '.join(chosen))}]({compared})")
    links.append(f"[Other experiments]({views.view_link(store, views.OVERVIEW)})")
    text = page(found, views.file_link(parent_id, "figure.svg"), links)
    notes.set_colors(store, parent_id, {rule: style_of(rule).color for rule in set(runs["rule"])})
    notes.set_page(
        store,
        parent_id,
        text,
        answer(found),
        counts(found.verdicts)
        | {"runs/finished": float(list(runs["status"]).count("FINISHED"))}
        | {f"accuracy/{rule}": value for rule, value in accuracies(runs, chosen).items()},
        resolved(parent.data.params, runs),
    )
    name = f"{parent.info.run_name}, {parent.info.run_id[:4]}"
    views.save_runs_view(store, parent_id, name, fields, across, int(max(runs["depth"])), metrics)
    parents = notes.with_answer(store)
    shown_rules = {name for run in parents for name in run.data.metrics if "accuracy/" in name}
    rules = in_order(name.removeprefix("accuracy/") for name in shown_rules)
    views.save_overview(store, [f"accuracy/{rule}" for rule in rules])
    views.drop_views(store, keep=[parent_id, *(run.info.run_id for run in parents)])
    notes.describe_experiment(store, notes.answered(parents, list(story.KINDS)))
    return f"charts  {store.ui_link.partition('#')[0]}{views.view_link(store, key, charts=True)}"


def resolved(params: Mapping[str, str], runs: pd.DataFrame) -> dict[str, str]:
    """Return the parameters that a parent of an older version lacks: what all its runs have."""
    known = settings(params)
    for name in (name for name in field_types() if name in params and name not in known):
        values = set(runs[name])
        if len(values) == 1:
            known[name] = format_value(values.pop())
    new = {f"{RESOLVED}{name}": value for name, value in known.items()}
    return {name: value for name, value in new.items() if name not in params}


def accuracies(runs: pd.DataFrame, chosen: Mapping[str, str]) -> dict[str, float]:
    """Return the mean test accuracy by rule, over the seeds of the runs of `one_per_rule`."""
    done, same = finished(runs), [name for name in field_types() if name != "seed"]
    means = {}
    for rule, run_id in chosen.items():
        one = done.loc[done["run_id"] == run_id, same].iloc[0]
        means[rule] = float(done.loc[(done[same] == one).all(axis=1), "accuracy/test"].mean())
    return {rule: mean for rule, mean in means.items() if math.isfinite(mean)}


def one_per_rule(runs: pd.DataFrame) -> dict[str, str]:
    """Rule -> a finished run of it, all with the same settings; empty where no two rules have any.

    Of the settings that rules share: all blocks trained, the most rules, RunSpec's defaults, the
    first seed. Controls are not compared: random labels, a penalty, a part that does not train, a
    start from another network.
    """
    done = finished(runs)
    plain = ~done["random_labels"] & (done["penalty"] == 0) & (done["start"] == "none")
    done = done.loc[plain & done["embed_trains"] & done["head_trains"]]
    common = [name for name in field_types() if name not in OWN | IRRELEVANT | {"rule"}]
    best, chosen = (), {}
    for values, own in done.groupby(common, sort=False):
        config = dict(zip(common, values, strict=True))
        alike, seed = _alike(own), config["seed"]
        others = sum(config[n] != getattr(RunSpec, n) for n in common if n not in ("k", "seed"))
        partly = config["k"] != config["depth"]
        rank = (partly, -len(alike), others, -config["depth"], seed != RunSpec.seed, seed)
        if len(alike) > 1 and (not best or rank < best):
            best, chosen = rank, alike
    return chosen


def _alike(runs: pd.DataFrame) -> dict[str, str]:
    """A run per rule, with the same knobs in all rules that read them, as most of them have."""
    from credit import rules  # here: it loads torch

    reads = {rule: _knobs(rule, pick(runs, rule=rule)) for rule in set(runs["rule"])}
    for name in sorted(LEARNED_FIELDS):
        readers = runs.loc[[name in reads[rule] for rule in runs["rule"]]]
        if readers.empty:
            continue
        has = readers.groupby(name)["rule"].nunique()
        value = min(has.index, key=lambda v: (-has[v], v != getattr(RunSpec, name), str(v)))
        runs = runs.loc[(runs[name] == value) | ~runs.index.isin(readers.index)]
    chosen = {}
    for rule in in_order(runs["rule"])[:_MOST_COMPARED]:
        own = pick(runs, rule=rule).sort_values(["credit_reduction", "started"])
        if len(set(own["credit_reduction"])) > 1 and rule in rules.available():
            usual = pick(own, credit_reduction=rules.get(rule).published_reduction)
            own = own if usual.empty else usual
        chosen[rule] = str(own["run_id"].iloc[-1])
    return chosen


def _knobs(rule: str, runs: pd.DataFrame) -> set[str]:
    """The knobs that a rule reads; of a rule from elsewhere, those that are set."""
    if rule in LEARNED:
        from credit import rules

        made = rules.get(rule)
        return {field.name for field in fields(made)} if is_dataclass(made) else set()
    return {name for name in LEARNED_FIELDS if set(runs[name]) != {getattr(RunSpec, name)}}
