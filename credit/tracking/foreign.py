"""What an export must be before any run is created from it. It may come from anyone.

Reading it executes nothing: JSON, Parquet and text are parsed, no name in them is imported, and no
link in its folder is followed. What is shown later, in a table, a note or a terminal, is refused
where it could be more than text.
"""

import itertools
import json
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from credit.errors import CreditError
from credit.spec import SCHEMA, RunSpec
from credit.tracking import marks
from credit.tracking.history import COLUMNS

RUNS, METRICS, LAYERS, ARTIFACTS = "runs.json", "metrics.parquet", "layers.parquet", "artifacts"
TAGS = (
    *(marks.SCHEMA_TAG, marks.KIND, marks.SWEEP, marks.SPEC, marks.REASON, marks.CONTINUED_BY),
    *(marks.NOTE, marks.COMMIT, marks.DIRTY, marks.SOURCE, marks.ENTRY_POINT),
    *(marks.TORCH, marks.DEVICE, marks.THREADS),
)
"""What travels. Who ran it, on which host and under which path stays at home."""
TEXT = (".csv", ".json", ".md")
LARGEST_BYTES = 200_000
ENDED = ("FINISHED", "FAILED", "KILLED")

_MOST_VALUES = 10_000_000
_MOST_COLUMNS = 200
_LONGEST = 5000  # characters; MLflow takes 6000 in a parameter
_LONGEST_NAME, _LONGEST_DATASET = 250, 500  # as MLflow's tables
_YEAR_10000_MS = 253_402_300_800_000  # where Python's dates end
_RULE = re.compile(r"\w[\w.]*(:\w+)?")
_NAME = re.compile(r"\w[\w./-]{0,249}")


def is_run_id(text: object) -> bool:
    """Return whether it is 32 hex digits, which is safe in a path."""
    return isinstance(text, str) and re.fullmatch(r"[0-9a-f]{32}", text) is not None


def is_name(key: str) -> bool:
    """Whether the store takes it as the name of a parameter or metric: it is safe in a path."""
    return bool(_NAME.fullmatch(key)) and not {"", ".", ".."} & set(key.split("/"))


def read_runs(path: Path) -> list[dict[str, Any]]:
    """Return the records of an export's `runs.json`."""
    try:
        require_file(path)
        document = json.loads(path.read_text())
        if document["schema"] != SCHEMA:
            raise CreditError(
                f"{path} has schema {document['schema']!r}, not {SCHEMA!r}: export it again"
            )
        records = document["runs"]
        for record in records:
            _check(record, path)
    except OSError as error:
        raise CreditError(f"cannot read {path} ({error}): name the folder of an export") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise malformed(path, repr(error)) from error
    if len({record["run_id"] for record in records}) < len(records):
        raise malformed(path, "a run is in it twice")
    return records


def _check(record: dict[str, Any], path: Path) -> None:
    run_id, params, tags = record["run_id"], record["params"], record["tags"]
    parent_id, dataset = record["parent_id"], record["dataset"]
    ids = [run_id, *([] if parent_id is None else [parent_id]), *record["sweeps"]]
    data = [] if dataset is None else [dataset[key] for key in ("name", "digest", "source")]
    shown = [record["name"], *params.values(), *data]
    names = [(record["name"], _LONGEST_NAME), *((name, _LONGEST_DATASET) for name in data[:1])]
    times = [record["start"], record["end"]]
    wrong = {  # where a value is no text, asking for its length or characters fails
        "run id": [text for text in ids if not is_run_id(text)],
        "status": [record["status"]] if record["status"] not in ENDED else [],
        "text": [
            text
            for text in (*shown, *tags.values())
            if not isinstance(text, str) or len(text) > _LONGEST
        ],
        "name": [text for text, most in names if not 0 < len(text) <= most],
        "control characters": [text for text in shown if not text.isprintable()],
        "tag": sorted(tags.keys() - set(TAGS)),
        "parameter": [key for key in params if not is_name(key)],
        "time": [ms for ms in times if type(ms) is not int or not 0 <= ms < _YEAR_10000_MS],
    }
    for what, values in wrong.items():
        if values:
            raise malformed(path, f"run {str(run_id)[:40]!r}: {what} {str(values[0])[:40]!r}")
    if marks.SPEC not in tags:
        return
    try:
        spec = RunSpec.from_mapping(params)
    except CreditError as error:
        raise malformed(path, f"run {run_id}: {error}") from error
    if spec.spec_hash != tags[marks.SPEC]:
        raise malformed(path, f"parameters of run {run_id} do not match its hash")
    if not _RULE.fullmatch(spec.rule):
        raise malformed(path, f"run {run_id} has the rule {spec.rule!r}")


def read_metrics(path: Path, run_ids: Collection[str]) -> dict[str, pd.DataFrame]:
    """Run id -> its values, from an export's `metrics.parquet`."""
    try:
        frame = _parquet(path, list(COLUMNS)).astype(COLUMNS)
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise malformed(path, repr(error)[:200]) from error
    groups = _by_run(frame, path, run_ids)
    for key in frame["key"].unique():
        if not is_name(key):
            raise malformed(path, f"a metric called {key[:40]!r}")
    if not frame["timestamp"].between(0, _YEAR_10000_MS).all():
        raise malformed(path, "a time that no clock shows")
    return groups


def read_layers(path: Path, run_ids: Collection[str]) -> dict[str, pd.DataFrame]:
    """Run id -> its table of layers, of numbers and short words; {} without this file."""
    if not path.exists() and not path.is_symlink():  # no run of the export has any
        return {}
    frame = _parquet(path)
    if not {"run_id", "layer"} <= {*frame.columns}:
        raise malformed(path, "no columns run_id and layer")
    groups = _by_run(frame, path, run_ids)
    for name, column in frame.drop(columns="run_id").items():
        if not is_name(str(name)):
            raise malformed(path, f"a column called {str(name)[:40]!r}")
        texts = [] if pd.api.types.is_numeric_dtype(column) else column.dropna().unique()
        for text in texts:
            if not isinstance(text, str) or not text.isprintable() or len(text) > _LONGEST:
                raise malformed(path, f"{str(text)[:40]!r} in column {name}")
    return {run_id: own.drop(columns="run_id") for run_id, own in groups.items()}


def _parquet(path: Path, columns: list[str] | None = None) -> pd.DataFrame:
    """A Parquet file's columns, without pandas' own notes on types, which anyone can write."""
    try:
        require_file(path)
        file = pq.ParquetFile(path)
        rows, width = file.metadata.num_rows, len(columns or file.schema_arrow.names)
        if rows * (width if columns is None else 1) > _MOST_VALUES or width > _MOST_COLUMNS:
            # a few kB of file may unpack to any size
            raise malformed(path, f"{rows} rows of {width} columns")
        return file.read(columns=columns).replace_schema_metadata().to_pandas()
    except (OSError, ValueError, TypeError, KeyError, OverflowError, pa.ArrowException) as error:
        raise malformed(path, repr(error)[:200]) from error


def _by_run(frame: pd.DataFrame, path: Path, run_ids: Collection[str]) -> dict[str, pd.DataFrame]:
    """Run id -> its rows; refuse those of runs that are not in `runs.json`."""
    groups = {str(run_id): group for run_id, group in frame.groupby("run_id", dropna=False)}
    if unknown := groups.keys() - set(run_ids):
        raise malformed(path, f"values of run {min(unknown)!r}, which {RUNS} does not have")
    return groups


def check_artifacts(folder: Path, run_ids: Collection[str]) -> None:
    """See that the runs' artifacts below `folder` are small files of text, and no links."""
    root = folder / ARTIFACTS
    for own in (root / run_id for run_id in run_ids):
        for path in itertools.chain((root, own), own.rglob("*")):  # which does not follow links
            if path.is_symlink():
                raise _linked(path)
            if path.exists() and not path.is_dir() and not _is_small_text(path):
                raise CreditError(
                    f"{path} is not text of at most {LARGEST_BYTES // 1000} kB "
                    f"({', '.join(TEXT)}), which is all that an export has: delete it"
                )


def _is_small_text(path: Path) -> bool:
    if not path.is_file() or path.suffix not in TEXT or path.stat().st_size > LARGEST_BYTES:
        return False
    try:
        path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False
    return True


def require_file(path: Path) -> None:
    """Refuse what is no file: of a pipe, reading would never end."""
    if path.is_symlink():
        raise _linked(path)
    if path.exists() and not path.is_file():
        raise CreditError(f"{path} is not a file: name the folder of an export")


def _linked(path: Path) -> CreditError:
    return CreditError(f"{path} is a link, which no export has: delete it")


def malformed(path: Path, what: str) -> CreditError:
    """The error for a file that `export` did not write like this."""
    return CreditError(f"{path} is not a whole export ({what}): export it again")
