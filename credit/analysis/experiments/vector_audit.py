"""Vector audit: the vector field beside its controls and the scalar."""

import pandas as pd

from credit.analysis import appendix, tables, vector_audit_checks
from credit.analysis import vector_audit as vectors
from credit.analysis.results import Results
from credit.analysis.selection import finished, pick
from credit.analysis.vector_audit_figure import vector_figure
from credit.tracking.reader import Reader


def results(reader: Reader, runs: pd.DataFrame) -> Results:
    """Table, figure and verdicts of the variants."""
    table = vectors.vector_table(runs)
    title = f"Vector audit: {vectors.describe(runs)}"
    verdicts = vector_audit_checks.verdicts(runs)
    return Results(
        title=f"{title}; {tables.seeds_text(table)}",
        table=table,
        wide=vectors.vector_wide(table),
        figure=vector_figure(table, title),
        verdicts=verdicts,
        notes=tuple(vectors.sources(table)),
        question="Does a learned vector field beat the gradient of a learned scalar, and does it "
        "fall to nothing where its targets are shuffled?",
        setup=(
            *appendix.setup(runs),
            "Variants: scalar is the credit bridge, M4, M8, … the vector field with that many "
            "directions; shuffle, no_terminal and one_sided change one thing of it.",
        ),
        caption="Γ, ρ and test accuracy by variant, a colour per depth."
        f"{' Hollow: reported.' if vectors.sources(table) else ''} {appendix.bars(table)}",
        findings=(
            *(
                appendix.ranking(
                    pick(table, depth=depth), ["variant"], "alignment", f"Γ at L={depth}"
                )
                for depth in sorted(table["depth"].unique())
            ),
            *appendix.findings("vector_audit", runs, verdicts),
        ),
        cells=finished(vectors.with_variants(runs)),
        by=("depth", "variant"),
    )
