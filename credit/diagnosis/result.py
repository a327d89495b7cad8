"""A finished diagnosis: its table, verdicts and metrics, as text, page, figure and tracked run."""

import html
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from credit.errors import CreditError
from credit.lab.quantity import Quantity
from credit.lab.verdict import Verdict
from credit.spec import check_names

_COSINE, _NUMBER, _PLAIN = (Quantity("", "", "", "", form) for form in (".3f", ".2e", ".3g"))
_SHOWN = {
    "name": ("layer", _NUMBER),
    "shape": ("shape", _NUMBER),
    "hidden_norm": ("‖h‖", _PLAIN),
    "growth": ("growth", _PLAIN),
    "grad_norm": ("‖g‖", _NUMBER),
    "credit_norm": ("‖a‖", _NUMBER),
    "sensitivity": ("‖h‖·‖g‖", _NUMBER),
    "agreement": ("agreement", _COSINE),
    "alignment_mean": ("Γ", _COSINE),
    "copy": ("Γ copy", _COSINE),
    "rho": ("ρ", _COSINE),
    "rho_g": ("ρ of g", _COSINE),
    "nudge": ("nudge", _NUMBER),
    "nudge_g": ("nudge of g", _NUMBER),
    "status": ("status", _NUMBER),
}
"""Columns that people see and the form of their numbers, by their names in the frame."""


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
        known = {verdict.check: verdict for verdict in self.verdicts}
        check_names([check], known, "check")
        return known[check]

    def log(self, step: int = 0) -> None:
        """Log metrics, layers and verdicts to the active MLflow run, which there must be."""
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
        verdicts = pd.DataFrame([(v.check, v.status, v.reason) for v in self.verdicts])
        with pd.option_context("display.max_colwidth", None):  # no reason is cut
            checks = verdicts.to_html(index=False, header=False)
        return f"{self._shown.to_html(index=False)}{checks}<p>{html.escape(self._footnote)}</p>"

    @property
    def _shown(self) -> pd.DataFrame:
        def text(value: Any, form: Quantity) -> str:
            return value if isinstance(value, str) else form.text(value)

        table = pd.DataFrame(
            [{n: text(row.get(n), form) for n, (_, form) in _SHOWN.items()} for row in self.rows]
        )
        labels = {name: label for name, (label, _) in _SHOWN.items()}
        return table.loc[:, (table != "").any()].rename(columns=labels)

    @property
    def _footnote(self) -> str:
        return ", ".join(f"{name}={value}" for name, value in self.settings.items())
