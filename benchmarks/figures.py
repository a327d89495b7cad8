"""Every figure of docs/, drawn again: from the exports in results/ and the raw output beside this.

    python -m benchmarks.figures                       # all of them; also: make figures
    python -m benchmarks.figures --only ladder,scaling

PNG; SVG and PDF where docs/ has one of that name. The same runs give the same files.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from benchmarks import agreement, scaling_figure
from credit import experiments, figures
from credit.errors import CreditError
from credit.lab import results
from credit.spec import check_names
from credit.tracking.exported import Export

ROOT = Path(__file__).parent.parent
NAMES = {
    "boundary_ablation": "boundary",
    "direction_quality": "direction",
    "nonlinearity_ladder": "nonlinearity",
}
"""Names in docs/ of the figures that are not called as their experiment."""
RAW = {"agreement": agreement.draw, "scaling": scaling_figure.draw}
"""Figures of raw output in benchmarks/results/, the newest of each name."""
LARGEST_BYTES = 250_000
"""Of a PNG, so that a page with a dozen of them opens at once."""


def draw(kind: str, folder: Path) -> Figure:
    """Return the figure of the newest parent run in an exported folder.

    Raises:
        CreditError: the folder has none of this kind, or nothing of it can be drawn.
    """
    export = Export(folder)
    parents = export.parents(kind)
    found = (
        figures.figure(results(experiments.find(kind), export.runs(parents[0]), export))
        if parents
        else None
    )
    if found is None:
        raise CreditError(f"{folder} has no {kind!r} experiment with finished runs")
    return found


def drawn(kinds: Sequence[str], folder: Path) -> Iterator[tuple[str, Figure]]:
    """Yield the name in docs/ and the figure of each kind."""
    for kind in kinds:
        if kind in RAW:
            raw = max((ROOT / "benchmarks" / "results").glob(f"{kind}_*.json"))
            yield kind, RAW[kind](json.loads(raw.read_text()))
        else:
            yield NAMES.get(kind, kind), draw(kind, folder / kind)


def main() -> None:
    """Draw and save."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", help="kinds, comma-separated; default: all")
    parser.add_argument("--folder", type=Path, default=ROOT / "docs", help="where figures go")
    parser.add_argument("--results", type=Path, default=ROOT / "results", help="the exports")
    args = parser.parse_args()
    try:
        there = sorted(path.parent.name for path in args.results.glob("*/runs.json"))
        own = [kind for kind in there if kind in experiments.KINDS]  # the others add runs
        known = [*RAW, *(kind for kind in own if experiments.find(kind).figure)]
        kinds = [kind for kind in args.only.split(",") if kind] or known
        check_names(kinds, known, "kind")
        args.folder.mkdir(parents=True, exist_ok=True)
        for name, figure in drawn(kinds, args.results):
            path = args.folder / name
            also = [kind for kind in figures.FORMATS[1:] if Path(f"{path}.{kind}").exists()]
            file = figures.save(figure, path, ["png", *also])[0]
            print(f"{file}  {file.stat().st_size / 1000:.0f} kB", flush=True)
            if file.stat().st_size > LARGEST_BYTES:
                raise CreditError(f"{file} has more than {LARGEST_BYTES // 1000} kB")
    except CreditError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
