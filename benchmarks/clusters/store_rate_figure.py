"""The figure of `store_rate.py`: what stores accept, and for how many workers that is enough."""

from typing import Any

from matplotlib.figure import Figure

from credit.figures.page import finish, page, say
from credit.figures.style import TEXT, entry, look, tidy

STYLES = {
    "SQLite": look("", color="#333333"),
    "HTTP, SQLite": look("", dash=1, color="#1B7F79"),
    "HTTP, PostgreSQL": look("", dash=2, color="#C4622D"),
}


def draw(result: dict[str, Any]) -> Figure:
    """Draw accepted values against writers, and the workers at the limit against epochs.

    Args:
        result: what `store_rate.py` prints.
    """
    figure, [[left, right]] = page("Metric values that a tracking store accepts", [2])
    handles = []
    for name, points in result["stores"].items():
        style = STYLES[name]
        one = points["1"]
        left.errorbar([p["writers"] for p in one], [p["values_per_s"] for p in one], **style)
        limits = result["workers_at_the_limit"][name]
        right.errorbar([float(s) for s in limits], list(limits.values()), **style)
        handles.append(entry(name, **style))
    left.set_ylim(0, 1.08 * left.get_ylim()[1])
    left.set_xticks([p["writers"] for p in one])
    right.set_xscale("log")
    right.set_yscale("log")
    texts = (
        ("writers at once", "values a second", "accepted, an epoch of 25 values a request"),
        ("seconds an epoch", "workers", "workers of 15 runs at which the store is the limit"),
    )
    for axes, (x, y, text) in zip((left, right), texts, strict=True):
        tidy(axes)
        axes.set_xlabel(x, fontsize=TEXT)
        axes.set_ylabel(y, fontsize=TEXT)
        say(axes, text)
    settings = f"{result['hardware']}, load {result['load']}, MLflow {result['mlflow']}"
    finish(figure, handles, f"{settings}, {result['date']}; n = 1 round, no error bars")
    return figure
