"""Prepared views of the runs table and charts in the MLflow UI, and links to its pages.

A saved view is an experiment tag, `mlflow.sharedViewState.<key>`, which `viewStateShareKey=<key>`
opens. The format is the UI's own, documented in its source only (of 3.16: `savedViewEnvelope.ts`,
`ExperimentPageUIState.tsx`, `runs-charts.types.ts`); tests/tracking/test_ui.py opens them.
"""

import base64
import json
import time
import zlib
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from credit.tracking.marks import RESOLVED, member_tag
from credit.tracking.store import Store

VIEW = "mlflow.sharedViewState."
ANSWER = "credit.answer"
"""What a parent run came to, in one line."""
OVERVIEW = "credit-results"
WORKFLOW = "workflowType=machine_learning"
"""Without it the UI opens its pages for language models."""
_STATE = {"runsHiddenMode": "SHOW_ALL", "isAccordionReordered": True, "hideEmptyCharts": True}
"""Of the UI's state what differs from its defaults: all runs, and sections in this order."""
_METRICS = ("accuracy/test", "alignment/deep", "rho/deep", "growth/max", "valid/reference")


def run_link(store: Store, run_id: str, path: str = "") -> str:
    """A run's page, or one of its files, from any page of the UI."""
    file = f"/artifacts/{quote(path)}" if path else ""
    return f"#/experiments/{store.experiment_id}/runs/{run_id}{file}?{WORKFLOW}"


def file_link(run_id: str, path: str) -> str:
    """A run's file itself, as the source of an image."""
    return f"get-artifact?path={quote(path)}&run_uuid={run_id}"


def view_link(store: Store, key: str, charts: bool = False) -> str:
    """A saved view: the table of its runs, or the table beside charts."""
    mode = "&compareRunsMode=CHART" if charts else ""
    return f"#/experiments/{store.experiment_id}/runs?{WORKFLOW}&viewStateShareKey={key}{mode}"


def front_page(store: Store) -> str:
    """Return the address of the results of all experiments; of the runs, while there are none."""
    tags = store.client.get_experiment(store.experiment_id).tags
    if f"{VIEW}{OVERVIEW}" not in tags:
        return store.ui_link
    return store.ui_link.partition("#")[0] + view_link(store, OVERVIEW)


def compare_link(store: Store, run_ids: Sequence[str]) -> str:
    """The UI's comparison of some runs."""
    runs, experiments = (quote(json.dumps(ids)) for ids in ([*run_ids], [str(store.experiment_id)]))
    return f"#/compare-runs?runs={runs}&experiments={experiments}&{WORKFLOW}"


def view_key(parent_id: str) -> str:
    """The key of a parent run's view."""
    return f"credit-{parent_id[:12]}"


def save_runs_view(
    store: Store,
    parent_id: str,
    name: str,
    fields: Sequence[str],
    across: str,
    depth: int,
    metrics: Sequence[str],
) -> None:
    """Save the view of a parent's child runs: useful columns, charts in sections by question.

    `fields` are parameters that tell the runs apart, `across` is one that accuracy is drawn against
    or empty, `depth` the last hidden state's number, whose norms are shown.
    """
    ((member, yes),) = member_tag(parent_id).items()
    first = "accuracy/test" if "accuracy/test" in metrics else "alignment/deep"
    sections, cards = _charts(across, depth, metrics)
    columns = [_column("params", field) for field in fields]
    columns += [_column("metrics", metric) for metric in _METRICS if metric in metrics]
    charts = {"compareRunCharts": cards, "compareRunSections": sections} if cards else {}
    widths = {_column("params", field): 80 for field in ("k", "seed")}
    own = {"searchFilter": f"tags.`{member}` = '{yes}'", "orderByKey": _column("metrics", first)}
    _save(store, view_key(parent_id), name, columns, columnWidths=widths, **own, **charts)


def save_overview(store: Store, metrics: Sequence[str]) -> None:
    """Save the view of all parents that have an answer, newest first, with some metrics."""
    checks = [f"checks/{end}" for end in ("passed", "failed", "undefined")]
    numbers = [_column("metrics", name) for name in (*metrics, *checks)]
    columns = [*numbers, _column("tags", ANSWER)]
    shown = ("preset", "dataset", "epochs", "seeds")
    columns += [_column("params", f"{RESOLVED}{name}") for name in shown]
    widths = {**dict.fromkeys(numbers, 100), _column("tags", ANSWER): 560}
    title = "Results: what every experiment came to"
    own = {"searchFilter": f"tags.`{ANSWER}` LIKE '%'", "orderByKey": "attributes.start_time"}
    _save(store, OVERVIEW, title, columns, columnWidths=widths, **own)


def drop_views(store: Store, keep: Sequence[str]) -> None:
    """Delete the views of parents that are not among `keep`."""
    tags = store.client.get_experiment(store.experiment_id).tags
    kept = {f"{VIEW}{key}" for key in (OVERVIEW, *map(view_key, keep))}
    for tag in tags:
        if tag.startswith(f"{VIEW}credit-") and tag not in kept:
            store.client.delete_experiment_tag(store.experiment_id, tag)


def _column(kind: str, name: str) -> str:
    return f"{kind}.`{name}`"


def _charts(
    across: str, depth: int, metrics: Sequence[str]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Sections by question, and their charts; what the UI adds by itself comes folded below."""
    last = f"h{depth:02d}"
    questions = {
        "1 Does it learn?": ("accuracy/test", "loss/train"),
        "2 Where does its credit point?": ("alignment/deep", "rho/deep"),
        "3 Is the network healthy?": ("growth/max", f"hidden_norm/{last}", f"grad_norm/{last}"),
    }
    sections, cards = [], []
    for number, (name, keys) in enumerate(questions.items()):
        section = f"part{number}"
        sections.append(_section(section, name, True))
        shown = [key for key in keys if key in metrics]
        if across and shown and number < 2:
            own = {
                "xaxis": {"key": across, "type": "PARAM"},
                "yaxis": {"key": shown[0], "type": "METRIC"},
                "displayName": f"{shown[0]} by {across}",
                "runsCountToCompare": 500,
            }
            cards.append({"type": "SCATTER", "metricSectionId": section, **own})
        cards += [{"type": "LINE", "metricSectionId": section, **_line(key)} for key in shown]
    cards = [{"uuid": f"card{number}", **card} for number, card in enumerate(cards)]
    families = sorted({key.rpartition("/")[0] for key in metrics if "/" in key})
    for number, name in enumerate([*families, "Model metrics", "System metrics"]):
        sections.append(_section(f"more{number}", name, False))
    return sections, cards


def _section(uuid: str, name: str, display: bool) -> dict[str, Any]:
    return {"uuid": uuid, "name": name, "display": display, "isReordered": False}


def _line(key: str) -> dict[str, Any]:
    log = "norm/" in key or key == "growth/max"
    return {
        "metricKey": key,
        "selectedMetricKeys": [key],
        "scaleType": "log" if log else "linear",
        "useGlobalXaxisKey": True,
        "useGlobalLineSmoothing": True,
    }


def _save(store: Store, key: str, name: str, columns: list[str], **own: Any) -> None:
    """Write a view with its own state; its time of change stays where nothing changed."""
    state = {**_STATE, "selectedColumns": columns, "columnOrder": columns, **own}
    text = json.dumps(state, separators=(",", ":"))
    packed = "deflate;" + base64.b64encode(zlib.compress(text.encode(), 9)).decode()
    tag, now = f"{VIEW}{key}", int(time.time() * 1000)
    value = {"name": name, "createdAt": now, "updatedAt": now, "state": packed}
    old = store.client.get_experiment(store.experiment_id).tags.get(tag, "")
    if f'"state": "{packed}"' in old and json.loads(old).get("name") == name:
        return
    store.client.set_experiment_tag(store.experiment_id, tag, json.dumps(value))
