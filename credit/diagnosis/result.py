"""A finished diagnosis: its table, verdicts and metrics, as text, page, figure and tracked run."""

import html
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from credit.errors import CreditError
from credit.lab.quantity import Quantity
from credit.lab.verdict import Verdict

_SHOWN = {
    "name": "layer",
    "shape": "shape",
    "hidden_norm": "‖h‖",
    "growth": "growth",
    "grad_norm": "‖g‖",
    "credit_norm": "‖a‖",
    "sensitivity": "‖h‖·‖g‖",
    "agreement": "agreement",
    "alignment_mean": "Γ",
    "copy": "Γ copy",
    "rho": "ρ",
    "rho_g": "ρ of g",
    "nudge": "nudge",
    "nudge_g": "nudge of g",
    "status": "status",
}
"""Columns that people see, by their names in the frame."""
_COSINES = ("agreement", "alignment_mean", "copy", "rho", "rho_g")
_COSINE = Quantity("", "", "", "", ".3f")
_NUMBER = Quantity("", "", "", "", ".2e")
_PLAIN = Quantity("", "", "", "", ".3g")


@dataclass(frozen=True)
class Diagnosis:
    """What `diagnose` finds.

    Attributes:
        rows: one per layer, as the layer table of a run has them; None where there is no number.
        metrics: valid numbers by the names under which runs track them: `alignment/h01`, `rho/h01`.
        verdicts: D1, D2 and direction, with value, threshold, status and reason.
        settings: what was measured on: samples, perturbed samples, directions, steps.
    """

    rows: list[dict[str, Any]]
    metrics: dict[str, float]
    verdicts: list[Verdict]
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def layers(self) -> list[str]:
        """Names of the modules whose outputs are h_0 … h_L."""
        return [row["name"] for row in self.rows]

    @property
    def frame(self) -> pd.DataFrame:
        """The rows, a column per number."""
        return pd.DataFrame(self.rows)

    def verdict(self, check: str) -> Verdict:
        """Return the verdict of a check: "D1", "D2" or "direction"."""
        for verdict in self.verdicts:
            if verdict.check == check:
                return verdict
        known = ", ".join(verdict.check for verdict in self.verdicts)
        raise CreditError(f"no check {check!r}: there are {known}")

    def log(self, step: int = 0) -> None:
        """Log the metrics to the active MLflow run at a step, and which layers they are of.

        Raises:
            CreditError: no run is active.
        """
        import mlflow  # here: it takes seconds, and not everybody tracks

        run = mlflow.active_run()
        if run is None:
            raise CreditError("no active MLflow run: log within `with mlflow.start_run():`")
        mlflow.log_metrics(self.metrics, step=step)
        mlflow.set_tag("credit.layers", ",".join(self.layers))
        mlflow.log_dict(
            {verdict.check: verdict.row for verdict in self.verdicts}, f"verdicts/{step:06d}.json"
        )

    def figure(self) -> Figure:
        """Return a figure of norms, direction, ρ and nudge by layer."""
        from credit.diagnosis.drawing import draw

        return draw(self)

    def __str__(self) -> str:
        table = self._shown.to_string(index=False)
        lines = [f"{v.check}: {v.status}, {v.reason}" for v in self.verdicts]
        return "\n".join([table, *lines, self._footnote])

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{v.check}</td><td>{v.status}</td><td>{html.escape(v.reason)}</td></tr>"
            for v in self.verdicts
        )
        note = html.escape(self._footnote)
        return f"{self._shown.to_html(index=False)}<table>{rows}</table><p>{note}</p>"

    @property
    def _shown(self) -> pd.DataFrame:
        table = pd.DataFrame([_texts(row) for row in self.rows])
        return table.loc[:, (table != "").any()].rename(columns=_SHOWN)

    @property
    def _footnote(self) -> str:
        return ", ".join(f"{name}={value}" for name, value in self.settings.items())


def _texts(row: Mapping[str, Any]) -> dict[str, str]:
    """Return a row as people read it; no number is an empty text."""
    found = {}
    for name in _SHOWN:
        value = row.get(name)
        if name in _COSINES:
            value = _COSINE.text(value)
        elif name in ("growth", "hidden_norm"):
            value = _PLAIN.text(value)
        elif not isinstance(value, str):
            value = _NUMBER.text(value)
        found[name] = value
    return found
