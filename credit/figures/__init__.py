"""Figures of experiments, from their panels: one way to draw a quantity over a factor.

Plain `Figure` objects, without pyplot's global state: they can be made in any thread and saved as
PNG, SVG or PDF.
"""

from collections.abc import Sequence
from itertools import groupby

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from credit.figures import page, style
from credit.figures.page import FORMATS, save
from credit.figures.panel import curve, draw, y_axis
from credit.figures.points import Cell, cells, not_valid
from credit.lab.results import Results

__all__ = ["FORMATS", "caption", "figure", "save"]


def figure(results: Results) -> Figure | None:
    """Draw an experiment's panels; return None where there is no panel, or no number yet."""
    found = cells(results)
    if not found:
        return None
    rows, entries = in_rows(found), []
    drawing, grid = page.page(results.experiment.question, [len(row) for row in rows])
    for number, (row, places) in enumerate(zip(rows, grid, strict=True)):
        pairs = list(zip(places, row, strict=True))
        for index, (axes, cell) in enumerate(pairs):
            entries += draw(axes, cell, page.WIDTH / len(row) - 0.6)
            above, below = (
                other[0][index] if other and len(other[0]) == len(row) else None
                for other in (rows[number - 1 : number], rows[number + 1 : number + 2])
            )
            if above is None or above.title != cell.title:
                page.say(axes, cell.title)
            if below and (below.panel.x, below.xs) == (cell.panel.x, cell.xs):
                axes.set_xlabel("")
                axes.tick_params(labelbottom=False)
        for _, group in groupby(pairs, key=lambda pair: (pair[1].panel.y.name, pair[1].scale)):
            y_axis(list(group))
    if any(cell.points["reported"].notna().any() for cell in found):
        entries.append(style.key("o", "reported"))
    page.finish(drawing, legend(entries), page.one_line(notes(results, found)))
    return drawing


def caption(results: Results) -> str:
    """Return what a figure shows, in words: quantities, runs, bars and sources."""
    found = cells(results)
    shown = {cell.panel.y.symbol: cell.panel.y.meaning for cell in found}
    meanings = "; ".join(f"{symbol}: {meaning}" for symbol, meaning in shown.items())
    return f"{meanings}. {'; '.join(notes(results, found))}."


def notes(results: Results, found: Sequence[Cell]) -> list[str]:
    """Return set-up, n and bars, differences from the published runs, shades, reported values.

    What is needed most comes first: the figure itself says as much of it as fits one line.
    """
    counts = {int(n) for cell in found for n in cell.points["n"] if n}
    setup, _, differs = results.setup.partition("; ")
    parts = [setup, bars(counts, any(map(curve, found)))]
    parts += [differs] if differs else []
    over = {cell.panel.y.symbol: cell.panel.y.over for cell in found}
    parts += [f"{s}: {w} over seeds" for s, w in over.items() if w in ("median", "max")]
    bands = {(cell.panel.y, cell.panel.band): None for cell in found if cell.panel.band}
    parts += [f"shaded: |{y.symbol}| < {y.text(band)}" for y, band in bands]
    if any(cell.points["marked"].any() for cell in found):
        parts.append("shaded: the base setting")
    if lost := dict.fromkeys(words for cell in found for words in not_valid(cell)):
        parts.append(f"not valid where not drawn: {', '.join(lost)}")
    sources = [
        one.source
        for cell in found
        for one in results.experiment.shown
        if one.quantity.name == cell.panel.y.name and cell.points["reported"].notna().any()
    ]
    return [*parts, *(f"hollow: {source}" for source in dict.fromkeys(sources))]


def bars(counts: set[int], curves: bool = False) -> str:
    """Return what error bars are, by the numbers of valid seeds that points have."""
    if max(counts, default=0) < 3:
        n = f"n = {' or '.join(map(str, sorted(counts)))} seed{'s' * (2 in counts)}"
        return f"mean of {n}, both as dots" if 2 in counts else n
    low, high = min(counts), max(counts)
    n = f"n = {low} to {high}" if low < high else f"n = {high}"
    few = ", two dots where n = 2" if 2 in counts else ""
    return f"mean ± {'sd (shades)' if curves else 'sd'} over {n} seeds{few}"


def legend(entries: Sequence[Line2D]) -> list[Line2D]:
    """Return each label once, grey ones last.

    A rule that the x axis names is left out where a series has its colour.
    """
    lines = [line for line in entries if line.get_gid() != "rule"]
    colors = {line.get_color() for line in lines}
    rules = [e for e in entries if e.get_gid() == "rule" and e.get_color() not in colors]
    found: dict[str, Line2D] = {}
    for line in (*rules, *lines):  # one with a line says more than one without
        best = found.setdefault(str(line.get_label()), line)
        if line.get_linewidth() > best.get_linewidth():
            found[str(line.get_label())] = line
    return sorted(found.values(), key=lambda line: line.get_color() == style.GREY)


def in_rows(found: Sequence[Cell]) -> list[list[Cell]]:
    """Return cells in the rows of a page: of at most PER_ROW, or as their panels ask for."""
    rows: list[list[Cell]] = []
    for _, group in groupby(found, key=lambda cell: id(cell.panel)):
        own = list(group)
        size = -(-len(own) // -(-len(own) // page.PER_ROW))
        for start in range(0, len(own), size):
            part = own[start : start + size]
            if not rows or own[0].panel.below or len(rows[-1]) + len(part) > page.PER_ROW:
                rows.append([])
            rows[-1] += part
    return rows
