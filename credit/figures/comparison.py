"""The figure of a comparison: differences with their intervals, cell by cell."""

from matplotlib.figure import Figure

from credit.figures import page, style
from credit.report.comparison import Comparison

_PANELS = 2


def comparison(found: Comparison) -> Figure:
    """Draw the first quantities' differences, b - a, over the cells; intervals where n >= 3."""
    shown = found.quantities[:_PANELS]
    drawing, grid = page.page(f"{found.b} against {found.a}", [len(shown)])
    for axes, quantity in zip(grid[0], shown, strict=True):
        own = found.table.loc[found.table["quantity"] == quantity.symbol].reset_index(drop=True)
        half = ((own["high"] - own["low"]) / 2).fillna(0) * quantity.scale
        places = range(len(own))
        look = style.look("") | {"linestyle": "none"}
        axes.errorbar(own["difference"] * quantity.scale, places, xerr=half, **look)
        axes.axvline(0, color=style.GREY, linewidth=0.6, linestyle=":", zorder=1)
        axes.set_yticks(places, own["cell"])
        axes.invert_yaxis()
        axes.set_xlabel(f"difference in {quantity.symbol}{quantity.unit}", fontsize=style.TEXT)
        style.tidy(axes)
        page.say(axes, quantity.meaning)
    n = sorted(set(found.table["n"]))
    counts = f"{n[0]}" if len(n) == 1 else f"{n[0]} to {n[-1]}"
    bars = "; bars: 95 % t interval of the paired differences" if n[-1] > 2 else ""
    page.finish(drawing, [], f"mean over n = {counts} seeds{bars}")
    return drawing
