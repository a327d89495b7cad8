"""Every reported number beside ours: as text, as a document, and on a parent run of its own."""

import math
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd
from markupsafe import Markup

from credit import experiments
from credit.lab.scoreboard import DEVIATES, NOT_RUN, REPRODUCED, RULE, Score, totals
from credit.lab.source import mean_and_sd
from credit.lab.table import html_table, markdown, terminal
from credit.report.origin import when
from credit.sweep.programme import State, Step, run_all
from credit.tracking import marks
from credit.tracking.exported import Export, Exports
from credit.tracking.reader import connect
from credit.tracking.writer import Store, finish, log_text, notes, open_parent, open_store

KIND = "reproduce"
"""Tag of the parent run that holds a scoreboard."""
UNKNOWN = "not recorded"
MACHINE = {"torch": marks.TORCH, "device": marks.DEVICE, "threads": marks.THREADS}


def headline(found: Sequence[Score]) -> str:
    """Return how many numbers are reproduced, deviate and are not run."""
    n = totals(found)
    return (
        f"{n[REPRODUCED]} of {len(found)} reported numbers reproduced, {n[DEVIATES]} deviate, "
        f"{n[NOT_RUN]} not run"
    )


def summary(state: State) -> pd.DataFrame:
    """Return one row per experiment: its numbers by status, and the hours of what is missing."""
    rows, kinds = [], state.plan["experiment"].str.split().str[0]
    for kind, own in _by_kind(state).items():
        row = {"experiment": kind, "reported": str(len(own))}
        row |= {status: str(n) for status, n in totals(own).items()}
        hours = state.plan.loc[kinds == kind, "hours"].sum(skipna=False)
        rows.append({**row, "hours left": _hours(hours)})
    return pd.DataFrame(rows)


def plan_text(state: State) -> str:
    """Return what the programme would run, for the terminal: experiment, runs, missing, hours."""
    plan = state.plan.astype({"runs": str, "missing": str})
    left = state.plan["hours"].sum(skipna=False)
    return f"{terminal(plan.assign(hours=plan['hours'].map(_hours)))}\n\nhours left: {_hours(left)}"


def table_of(found: Sequence[Score]) -> pd.DataFrame:
    """Return scores as a table of strings."""
    return pd.DataFrame([_strings(score) for score in found])


def _strings(score: Score) -> dict[str, str]:
    text, (apart, within, status) = score.quantity.text, score.judged
    sd = "" if math.isnan(score.sd) else f" ± {text(score.sd)}"
    shown = text(apart, "+")
    if score.one.rough and (mean := mean_and_sd(score.value)[0]) and score.n:
        shown = f"× {score.ours / mean:.2g}"
    if status == NOT_RUN:
        hours = "" if math.isnan(score.hours) else f", {_hours(score.hours)} h"
        status = f"{status}: {score.why}{hours}"
    return {
        "cell": score.cell,
        "quantity": score.quantity.symbol,
        "reported": score.reported,
        "ours": f"{text(score.ours)}{sd}",
        "n": str(score.n or ""),
        "difference": "" if score.one.bound else shown,
        "tolerance": within,
        "status": status,
        "runs": " ".join(dict.fromkeys(run_id[:8] for run_id in score.run_ids)),
    }


def _hours(value: float) -> str:
    return "unknown" if math.isnan(value) else f"{value:.1f}"


def _by_kind(state: State) -> dict[str, list[Score]]:
    """Return the scores of every experiment, of that with the most of them first."""
    found: dict[str, list[Score]] = {}
    for score in state.scores:
        found.setdefault(score.kind, []).append(score)
    return dict(sorted(found.items(), key=lambda item: -len(item[1])))


def sections(state: State, shown: Callable[[pd.DataFrame], Any]) -> list[dict[str, Any]]:
    """Return title, question, commands, sources, caveats and table of every experiment.

    Args:
        shown: turns a table of strings into what a page shows.
    """
    found = []
    for kind, own in _by_kind(state).items():
        its = [step for step in state.needed if step.experiment.kind == kind]
        found.append(
            {
                "kind": kind,
                "title": its[0].experiment.title,
                "question": its[0].experiment.question,
                "commands": [f"python -m entrypoints.{step.name}" for step in its],
                "sources": list(dict.fromkeys(score.one.source for score in own)),
                "headline": headline(own),
                "caveats": its[0].experiment.caveats,
                "table": shown(table_of(own)),
            }
        )
    return found


def document(state: State, exports: Exports) -> str:
    """Return the scoreboard of exported runs as Markdown, with where these runs came from."""
    parts = [
        "# Reproduction: every reported number beside ours",
        f"**{headline(state.scores)}.** This page is generated from `results/` by `make "
        "reproduction`. `make reproduce` trains what is missing; hours are those of the machine "
        "that trained the runs in `results/`.",
        RULE,
        "Ours are runs of the reported configuration, in all of its settings; reduced ones are "
        "none, and of two runs of one seed the newer counts. A number that several experiments "
        "show stands at one of them.",
        markdown(summary(state).replace({"experiment": r"(.+)"}, r"[\1](#\1)", regex=True)),
    ]
    for own in sections(state, markdown):
        parts += [f"## {own['kind']}", f"{own['title']}: {own['headline']}."]
        parts += ["\n".join(f"`{command}`" + "  " for command in own["commands"]).rstrip()]
        sources = "; ".join(own["sources"])
        parts += [f"{sources[0].upper()}{sources[1:]}.", *own["caveats"], own["table"]]
    parts += ["## Where the runs came from", markdown(provenance(exports))]
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


def provenance(exports: Exports) -> pd.DataFrame:
    """Return one row per export: runs, commits, whether code had changed, days and machine."""
    rows = []
    for part in map(Export, exports.folders):
        records = [*part.records.values()]
        every = [own for own in records if marks.KIND not in own["tags"]]
        own = every or records  # a parent without runs has measured its networks itself

        def told(key: str, records: list[dict[str, Any]] = own) -> str:
            values = dict.fromkeys(record["tags"].get(key, UNKNOWN)[:40] for record in records)
            return ", ".join(sorted(values))

        dirty = [record["tags"].get(marks.DIRTY, UNKNOWN) for record in own]
        unknown = f", {n} {UNKNOWN}" if (n := dirty.count(UNKNOWN)) else ""
        days = sorted({when(record["start"])[:10] for record in own})
        commits = {record["tags"].get(marks.COMMIT, UNKNOWN) for record in own}
        rows.append(
            {
                "results": part.folders[0].name,
                "runs": str(len(every)),
                "commits": ", ".join(sorted(c if c == UNKNOWN else c[:8] for c in commits)),
                "code differed in": f"{dirty.count('true')}{unknown}",
                "days": " to ".join(dict.fromkeys((days[0], days[-1]))),
                **{name: told(key) for name, key in MACHINE.items()},
            }
        )
    return pd.DataFrame(rows)


def reproduce(only: str, steps: Sequence[Step], device: str, about: str) -> dict[str, str]:
    """Run what the store lacks of the programme, and publish the scoreboard on a parent run.

    `only`, as it was given, names that run, and `about` describes it. Returns why experiments
    failed, by their commands.
    """
    store = open_store()

    def now() -> State:
        return State(connect(store.uri), list(steps))

    name = f"reproduce {only}"
    parent = open_parent(store, name, KIND, {"only": only}, name, about)
    given, status = os.environ.pop("MLFLOW_RUN_ID", None), "KILLED"  # experiments make their own
    os.environ["MLFLOW_EXPERIMENT_ID"] = store.experiment_id
    try:
        failures = run_all(now().needed, device, now)
        print(f"\n{publish(store, parent, now())}")
        status = "FAILED" if failures else "FINISHED"
    finally:
        finish(store, parent, status)
        if given:
            os.environ["MLFLOW_RUN_ID"] = given
    return failures


def publish(store: Store, parent_id: str, state: State) -> str:
    """Log the scoreboard on a parent run, with its page in the UI; return its text.

    Artifacts: scoreboard.csv, scoreboard.md, report.html.
    """
    from credit.report.page import template  # here: without jinja2 the numbers print, too

    said, whole = headline(state.scores), table_of(state.scores)
    whole.insert(0, "experiment", [score.kind for score in state.scores])
    rows = pd.DataFrame([score.row for score in state.scores])
    log_text(store, parent_id, rows.to_csv(index=False), "scoreboard.csv")
    log_text(store, parent_id, f"{said}\n\n{markdown(whole)}", "scoreboard.md")
    html = template("scoreboard.html").render(
        title=said,
        headline=said,
        rule=RULE,
        run_id=parent_id,
        made=when(int(1000 * time.time())),
        summary=Markup(html_table(summary(state))),
        plan=plan_text(state),
        sections=sections(state, lambda table: Markup(html_table(table))),
    )
    log_text(store, parent_id, html, "report.html")
    metrics = {f"reported/{k.replace(' ', '_')}": float(n) for k, n in totals(state.scores).items()}
    note = f"**{said}**\n\n{RULE}\n\n{markdown(summary(state))}"
    used = {run_id for score in state.scores for run_id in score.run_ids}
    notes.set_page(store, parent_id, note, said, {**metrics, notes.FINISHED: float(len(used))})
    order = [*experiments.KINDS, KIND]
    notes.describe_experiment(store, notes.answered(notes.with_answer(store), order))
    return f"{terminal(summary(state))}\n\n{said}"
