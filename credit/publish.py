"""Results of a finished experiment: read back from the tracking server, logged on its parent run.

Nothing here trains or remembers: the same tables, figures and verdicts can be rebuilt from any
server that holds the runs (`report`).
"""

import pandas as pd
from matplotlib.figure import Figure

from credit.analysis import (
    boundary,
    boundary_checks,
    figures,
    nonlinearity,
    nonlinearity_checks,
    tables,
    toy_lq_checks,
    vector_audit_checks,
)
from credit.analysis import toy_lq as lq
from credit.analysis import vector_audit as vectors
from credit.analysis.boundary_figure import boundary_figure
from credit.analysis.nonlinearity_figure import nonlinearity_figure
from credit.analysis.toy_lq_figure import toy_lq_figure
from credit.analysis.vector_audit_figure import vector_figure
from credit.errors import CreditError
from credit.tracking import reader as reading
from credit.tracking.writer import Store, log_figure, log_json, log_table, log_text, markdown


def ladder(store: Store, parent_id: str) -> str:
    """Table, figure and verdicts of a depth-utility ladder.

    Returns:
        what to print in the terminal.
    """
    reader, runs = _runs(store, parent_id)
    table = tables.ladder(runs)
    verdicts = tables.verdicts(runs)
    figure = figures.ladder_figure(table, f"Depth-utility ladder: {tables.describe(runs)}")
    _leave(store, parent_id, table, tables.ladder_wide(table), figure, verdicts)
    return "\n".join(
        [
            "",
            tables.ladder_text(table),
            "",
            verdict_text(verdicts),
            "",
            _where(store, reader, parent_id),
        ]
    )


def direction_quality(store: Store, parent_id: str) -> str:
    """Per-layer direction with and without the penalty, and the verdict at the middle layer."""
    reader, runs = _runs(store, parent_id)
    table = tables.direction(runs, tables.layer_tables(reader, runs))
    verdicts = tables.direction_verdicts(runs)
    log_table(store, parent_id, table, "table")
    log_figure(
        store,
        parent_id,
        figures.direction_figure(table, f"Direction of the credit: {tables.describe(runs)}"),
        "figure",
    )
    log_json(store, parent_id, verdicts, "verdicts.json")
    text = table.to_string(index=False, na_rep="")
    return "\n".join(["", text, "", verdict_text(verdicts), "", _where(store, reader, parent_id)])


def nonlinearity_ladder(store: Store, parent_id: str) -> str:
    """Table, figure and verdicts by share of tanh and depth, reported values beside ours."""
    reader, runs = _runs(store, parent_id)
    table = nonlinearity.table(runs)
    wide = nonlinearity.wide(table, tuple(nonlinearity.QUANTITIES))
    verdicts = nonlinearity_checks.verdicts(runs)
    title = f"Nonlinearity ladder: {nonlinearity.describe(runs)}"
    _leave(store, parent_id, table, wide, nonlinearity_figure(table, title), verdicts)
    return "\n".join(
        [
            "",
            f"{title}; {nonlinearity.seeds_text(table)}",
            "",
            wide.to_string(index=False),
            "",
            nonlinearity.comparison(runs),
            nonlinearity.accuracy_note(table),
            "",
            verdict_text(verdicts),
            "",
            _where(store, reader, parent_id),
        ]
    )


def boundary_ablation(store: Store, parent_id: str) -> str:
    """Table, figure and verdicts of the credit bridge's one-factor sweeps."""
    reader, runs = _runs(store, parent_id)
    table = boundary.boundary(runs)
    verdicts = boundary_checks.verdicts(runs)
    title = f"Boundary ablation: {boundary.describe(runs)}"
    _leave(
        store,
        parent_id,
        table,
        boundary.boundary_wide(table),
        boundary_figure(table, title),
        verdicts,
    )
    rest = [f"in no sweep, so not shown: {setting}" for setting in boundary.outside(runs)]
    return "\n".join(
        [
            "",
            f"{title}; {tables.seeds_text(table)}",
            "",
            boundary.boundary_wide(table).to_string(index=False),
            *rest,
            "",
            verdict_text(verdicts),
            "",
            _where(store, reader, parent_id),
        ]
    )


def vector_audit(store: Store, parent_id: str) -> str:
    """Table, figure and verdicts of the vector field beside its controls and the scalar."""
    reader, runs = _runs(store, parent_id)
    table = vectors.vector_table(runs)
    verdicts = vector_audit_checks.verdicts(runs)
    title = f"Vector audit: {vectors.describe(runs)}"
    _leave(
        store, parent_id, table, vectors.vector_wide(table), vector_figure(table, title), verdicts
    )
    return "\n".join(
        [
            "",
            f"{title}; {tables.seeds_text(table)}",
            "",
            vectors.vector_wide(table).to_string(index=False),
            *vectors.sources(table),
            "",
            verdict_text(verdicts),
            "",
            _where(store, reader, parent_id),
        ]
    )


def toy_lq(store: Store, parent_id: str) -> str:
    """Tables, figure and verdicts of learned credit against the exact costate."""
    reader, runs = _runs(store, parent_id)
    table, layers = lq.table(runs), lq.layers(runs)
    verdicts = toy_lq_checks.verdicts(runs)
    title = f"Toy LQ: {lq.describe(runs)}"
    _leave(store, parent_id, table, lq.wide(table), toy_lq_figure(layers, title), verdicts)
    log_table(store, parent_id, layers, "layers")
    return "\n".join(
        [
            "",
            f"{title}; {tables.seeds_text(table)}; reported: n/a",
            "",
            lq.wide(table).to_string(index=False),
            "",
            lq.wide_layers(layers).to_string(index=False),
            "",
            verdict_text(verdicts),
            "",
            _where(store, reader, parent_id),
        ]
    )


def train(store: Store, parent_id: str) -> str:
    """One line on a single run, and where to look."""
    _, runs = _runs(store, parent_id)
    run = runs.iloc[0]
    line = f"{run['name']}: {run['status']}"
    if run["status"] == "FINISHED":
        line += f", test accuracy {run['accuracy/test']:.4f} after {run['epochs']} epochs"
    return "\n".join(["", line, f"run id {run['run_id']}", store.ui_command])


KINDS = {
    "ladder": ladder,
    "direction_quality": direction_quality,
    "nonlinearity_ladder": nonlinearity_ladder,
    "boundary_ablation": boundary_ablation,
    "vector_audit": vector_audit,
    "toy_lq": toy_lq,
    "train": train,
}
"""How each kind of parent run is published."""


def publish(store: Store, parent_id: str) -> str:
    """Rebuild what belongs to a parent run, from the tracking server alone.

    Raises:
        CreditError: no such run, not a parent run, or of a kind that has no report.
    """
    kind = reading.connect(store.uri).run(parent_id).data.tags.get("credit.kind")
    if kind not in KINDS:
        raise CreditError(
            f"run {parent_id} is of kind {kind!r}: pass the id of a parent run of kind "
            f"{', '.join(KINDS)}"
        )
    return KINDS[kind](store, parent_id)


def verdict_text(verdicts: list[dict]) -> str:
    """One line per verdict: rule, check, status, reason."""
    who = [v["rule"] + (f" λ={v['penalty']:g}" if "penalty" in v else "") for v in verdicts]
    width = max(map(len, who), default=0)
    return "\n".join(
        f"{name:<{width}}  {v['check']:<12}  {v['status']:<9}  {v['reason']}"
        for name, v in zip(who, verdicts, strict=True)
    )


def _runs(store: Store, parent_id: str) -> tuple[reading.Reader, pd.DataFrame]:
    reader = reading.connect(store.uri)
    runs = reader.runs(parent=parent_id)
    if runs.empty:
        raise CreditError(f"run {parent_id} has no child runs: nothing to report")
    return reader, runs


def _leave(
    store: Store,
    parent_id: str,
    table: pd.DataFrame,
    wide: pd.DataFrame,
    figure: Figure,
    verdicts: list[dict],
) -> None:
    """Log what every experiment leaves: table (long as CSV, wide as Markdown), figure, verdicts."""
    log_text(store, parent_id, table.to_csv(index=False), "table.csv")
    log_text(store, parent_id, markdown(wide), "table.md")
    log_figure(store, parent_id, figure, "figure")
    log_json(store, parent_id, verdicts, "verdicts.json")


def _where(store: Store, reader: reading.Reader, parent_id: str) -> str:
    figure = reader.artifact(parent_id, "figure.png")
    return f"figure  {figure}\nrun     {parent_id}\nUI      {store.ui_command}"
