"""What must hold of where things stand in any drawn figure."""

from matplotlib.figure import Figure


def assert_laid_out(figure: Figure) -> None:
    """The legend is on the page and covers no panel; no panel leaves the page sideways."""
    legend = figure.legends[0].get_window_extent()
    assert 0 <= legend.x0 < legend.x1 <= figure.bbox.x1
    for axes in figure.axes:
        box = axes.get_tightbbox()
        assert box is not None and not legend.overlaps(box)
        assert box.x0 >= -1 and box.x1 <= figure.bbox.x1 + 1
