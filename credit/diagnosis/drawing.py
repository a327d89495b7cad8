"""The figure of a diagnosis: norms, direction, ρ and nudge by layer, with what controls get."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from credit.figures import style
from credit.lab import protocol
from credit.measures import validity

if TYPE_CHECKING:
    from credit.diagnosis.result import Diagnosis

_OWN = "#015893"
_PANELS = (
    ("norm (median)", "", {"hidden_norm": "‖h‖", "grad_norm": "‖g‖", "credit_norm": "‖a‖"}),
    ("Γ (mean cosine)", "alignment_mean", {"copy": "copy of g_L", "alignment_random": "random"}),
    ("ρ (correlation)", "rho", {"rho_g": "g", "rho_neg_g": "−g", "rho_random": "random"}),
    (
        "nudge (loss change)",
        "nudge",
        {"nudge_g": "g", "nudge_neg_g": "−g", "nudge_random": "random"},
    ),
)
_STATUS = {"alignment_mean": "status", "rho": "rho_status", "nudge": "nudge_status"}


def draw(diagnosis: "Diagnosis") -> Figure:
    """Return a figure with a panel per measurement; what is not valid is not drawn."""
    rows, names = diagnosis.rows, diagnosis.layers
    prefix = names[0][: names[0].rfind(".") + 1]  # said once, below the axis
    shared = len(prefix) if all(name.startswith(prefix) for name in names) else 0
    drawing = Figure(figsize=(9.6, 2.9), layout="constrained")
    for axes, (title, own, others) in zip(drawing.subplots(1, 4), _PANELS, strict=True):
        style.tidy(axes)
        for index, (name, label) in enumerate(others.items()):
            _line(axes, [row.get(name) for row in rows], label, style.beside(index))
        if own:
            valid = [row[own] if row[_STATUS[own]] == validity.OK else None for row in rows]
            _line(axes, valid, "credit", style.look("") | {"color": _OWN})
            style.level(axes, 0, linestyle="-")
        else:
            axes.set_yscale("log")
        if own == "alignment_mean":
            style.shade(axes.axhspan, -protocol.POOR, protocol.POOR)
        axes.set_xticks(range(len(rows)), [name[shared:] for name in names], fontsize=style.SMALL)
        axes.set_xlabel(names[0][:shared], fontsize=style.SMALL)
        axes.tick_params(axis="x", rotation=45)
        axes.set_title(title, fontsize=style.TITLE)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=style.SMALL, frameon=False)
    return drawing


def _line(axes: Axes, values: Sequence[float | None], label: str, look: Mapping[str, Any]) -> None:
    """Draw a line over the layers, unless it has no point."""
    if any(value is not None for value in values):
        heights = np.array(values, dtype=float)
        own = {n: v for n, v in look.items() if n not in ("capsize", "elinewidth")}
        axes.plot(range(len(heights)), heights, label=label, **own)
