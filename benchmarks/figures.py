"""Every figure of docs/, drawn again: from the exports in results/ and the raw output beside this.

    python -m benchmarks.figures                       # all of them; also: make figures
    python -m benchmarks.figures --only ladder,scaling
    python -m benchmarks.figures --store               # what your tracking store has instead

The exports are loaded into a store that is thrown away. Of several parents of one kind the one with
the most finished runs is drawn. PNG; SVG and PDF where docs/ has one of that name. The same runs
give the same files.
"""

import argparse
import importlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from matplotlib.figure import Figure

from benchmarks import scaling_figure
from credit.analysis import experiments
from credit.analysis.selection import finished
from credit.errors import CreditError
from credit.figure_files import FORMATS, save
from credit.spec import check_names
from credit.tracking.portable import import_into
from credit.tracking.reader import Reader, connect
from credit.tracking.store import open_store

ROOT = Path(__file__).parent.parent
NAMES = {
    "boundary_ablation": "boundary",
    "direction_quality": "direction",
    "nonlinearity_ladder": "nonlinearity",
}
"""What the figure of an experiment is called in docs/, where it is not called as the experiment."""
SCALING = "scaling"
LARGEST_BYTES = 250_000
"""Of a PNG, so that a page with a dozen of them opens at once."""
_INHERITED = ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME")


def draw(reader: Reader, kind: str) -> Figure:
    """The figure of the store's experiment of this kind.

    Raises:
        CreditError: the store has none, or nothing of it can be drawn.
    """
    parents = list(reader.parents(kind)["run_id"])
    if not parents:
        raise CreditError(f"the tracking store has no {kind!r} experiment: run one first")
    counts = {parent: len(finished(reader.runs(parent=parent))) for parent in parents}
    parent = max(parents, key=lambda parent: counts[parent])  # the first of equals: the newest
    module = importlib.import_module(f"{experiments.__name__}.{kind}")
    figure = module.results(reader, reader.runs(parent=parent)).figure
    if figure is None:
        raise CreditError(f"the {kind!r} experiment {parent} has nothing to draw")
    return figure


def drawn(kinds: list[str], results: Path, from_store: bool) -> Iterator[tuple[str, Figure]]:
    """Name in docs/ and figure, one after the other."""
    if SCALING in kinds:
        raw = max((ROOT / "benchmarks" / "results").glob("scaling_*.json"))
        yield SCALING, scaling_figure.draw(json.loads(raw.read_text()))
    kinds = [kind for kind in kinds if kind != SCALING]
    if from_store:
        reader = connect()
        yield from ((NAMES.get(kind, kind), draw(reader, kind)) for kind in kinds)
        return
    for name in _INHERITED:
        os.environ.pop(name, None)
    with TemporaryDirectory() as place:
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{place}/mlflow.db"
        store = open_store()
        for kind in kinds:
            import_into(store, results / kind)
        reader = connect(store.uri)
        yield from ((NAMES.get(kind, kind), draw(reader, kind)) for kind in kinds)


def main() -> None:
    """Draw and save."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", help="kinds, comma-separated; default: all")
    parser.add_argument("--folder", type=Path, default=ROOT / "docs", help="where figures go")
    parser.add_argument("--results", type=Path, default=ROOT / "results", help="the exports")
    parser.add_argument("--store", action="store_true", help="read the tracking store instead")
    args = parser.parse_args()
    try:
        known = [SCALING, *sorted(path.parent.name for path in args.results.glob("*/runs.json"))]
        kinds = [kind for kind in args.only.split(",") if kind] or known
        check_names(kinds, known, "kind")
        args.folder.mkdir(parents=True, exist_ok=True)
        for name, figure in drawn(kinds, args.results, args.store):
            path = args.folder / name
            others = [kind for kind in FORMATS[1:] if path.with_name(f"{name}.{kind}").exists()]
            files = save(figure, path, ["png", *others])
            size = files[0].stat().st_size
            print(f"{files[0]}  {size / 1000:.0f} kB", flush=True)
            if size > LARGEST_BYTES:
                raise CreditError(f"{files[0]} has more than {LARGEST_BYTES // 1000} kB")
    except CreditError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
