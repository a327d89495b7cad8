"""Vector audit: the vector field beside its controls and the scalar."""

import pandas as pd

from credit.analysis import tables, vector_audit_checks
from credit.analysis import vector_audit as vectors
from credit.analysis.results import Results
from credit.analysis.vector_audit_figure import vector_figure
from credit.tracking.reader import Reader


def results(reader: Reader, runs: pd.DataFrame) -> Results:
    """Table, figure and verdicts of the variants."""
    table = vectors.vector_table(runs)
    title = f"Vector audit: {vectors.describe(runs)}"
    return Results(
        title=f"{title}; {tables.seeds_text(table)}",
        table=table,
        wide=vectors.vector_wide(table),
        figure=vector_figure(table, title),
        verdicts=vector_audit_checks.verdicts(runs),
        notes=tuple(vectors.sources(table)),
    )
