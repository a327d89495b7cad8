"""What a run carries beside numbers: files, text, tables, figures, its dataset; by run id."""

import json
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pandas as pd
from mlflow.entities import Dataset, DatasetInput, InputTag

from credit.figures.page import save
from credit.tracking.store import Store, repeated_if_taken

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def log_text(store: Store, run_id: str, text: str, name: str) -> None:
    """Store `text` as the artifact `name`."""
    store.client.log_text(run_id, text, name)


def log_json(store: Store, run_id: str, value: Any, name: str) -> None:
    """Store `value` as the JSON artifact `name`; NaN is an error, not invalid JSON."""
    log_text(store, run_id, json.dumps(value, indent=2, allow_nan=False) + "\n", name)


def log_table(store: Store, run_id: str, frame: pd.DataFrame, name: str) -> None:
    """Store a table as `name`.csv, exact, and `name`.md, to read. The index is not stored."""
    log_text(store, run_id, frame.to_csv(index=False), f"{name}.csv")
    log_text(store, run_id, markdown(frame), f"{name}.md")


def log_figure(store: Store, run_id: str, figure: "Figure", name: str) -> None:
    """Store a figure as `name`.png, `name`.svg and `name`.pdf."""
    place = Path(name)
    with TemporaryDirectory() as folder:
        for file in save(figure, Path(folder) / place.name):
            store.client.log_artifact(run_id, str(file), place.parent.name and str(place.parent))


@repeated_if_taken
def log_dataset(store: Store, run_id: str, info: Mapping[str, str]) -> None:
    """Log a dataset input from its `name`, `digest` and `source`, without a copy of the data."""
    dataset = Dataset(
        name=info["name"],
        digest=info["digest"][:36],  # MLflow's limit
        source_type="local",
        source=info["source"],
    )
    tag = InputTag("mlflow.data.context", "training")
    store.client.log_inputs(run_id, datasets=[DatasetInput(dataset, [tag])])


def markdown(frame: pd.DataFrame) -> str:
    """`frame` as a Markdown table without markup or index: numbers right-aligned, nan empty."""
    right = [pd.api.types.is_numeric_dtype(kind) for kind in frame.dtypes]
    rows = [[_cell(value) for value in row] for row in frame.itertuples(index=False)]
    lines = [
        [_cell(str(column)) for column in frame.columns],
        ["---:" if numeric else "---" for numeric in right],
        *rows,
    ]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def harmless(text: str) -> str:
    """`text` for a note, which the UI takes for Markdown, without HTML, links and images."""
    return visible(text, keep="\n\t").replace("<", "&lt;").replace("[", "&#91;")


def visible(text: str, keep: str = "") -> str:
    """`text` with spaces for characters that cannot be seen, line breaks too, but for `keep`."""
    return "".join(c if c.isprintable() or c in keep else " " for c in text)


_ESCAPED = str.maketrans(
    {"\\": "\\\\", "|": "\\|", "[": "\\[", "`": "\\`", "&": "&amp;", "<": "&lt;"}
)


def _cell(value: Any) -> str:
    if pd.isna(value):
        return ""
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return visible(text).translate(_ESCAPED)
