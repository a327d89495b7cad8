"""Results of parents that compare nothing: a single run, and networks that were not trained."""

import pandas as pd

from credit.analysis import appendix, figures, tables
from credit.analysis.results import Results
from credit.analysis.selection import ACCURACY, finished
from credit.report.grid import text
from credit.tracking.marks import settings
from credit.tracking.reader import Reader


def single(reader: Reader, runs: pd.DataFrame) -> Results:
    """One run: the last value of every metric, and its accuracy over epochs."""
    run = runs.iloc[0]
    metrics = [(name, text(float(run[name]))) for name in runs.columns if "/" in name]
    table = pd.DataFrame(
        [(name, value) for name, value in metrics if value], columns=["metric", "last value"]
    )
    curves = tables.curves(runs, reader.history(runs["run_id"], [ACCURACY]))
    title = f"One run: {run['name']}, {tables.describe(runs)}"
    ended = f"{run['name']} is {run['status']}" + (
        "" if pd.isna(run["reason"]) else f": {run['reason']}"
    )
    said = (
        f"{ended}; test accuracy {run[ACCURACY]:.4f} after {run['epochs']} epochs."
        if run["status"] == "FINISHED" and ACCURACY in run
        else f"{ended}."
    )
    return Results(
        title=title,
        table=table,
        wide=table,
        figure=None if curves.empty else figures.curves_figure(curves, title),
        verdicts=[],
        question="What does one run come to: one credit rule, one k, one seed?",
        setup=appendix.setup(runs),
        caption="Test accuracy over epochs. One seed (n = 1), so no error bars.",
        findings=(said,),
        caveats=("A single run is compared with nothing.",),
        cells=finished(runs),
        by=("rule", "k"),
    )


def frozen_init(reader: Reader, parent_id: str) -> Results:
    """Untrained networks: how close each is to the identity, and the means over seeds.

    Raises:
        CreditError: the parent has no table.
    """
    run = reader.run(parent_id)
    table = pd.read_csv(reader.artifact(parent_id, "table.csv"))
    params, metrics = settings(run.data.params), run.data.metrics
    seeds = f"n = {len(table)} seed{'s' if len(table) > 1 else ''}"
    said = []
    for name, what in (
        ("block_ratio", "|f| / |h| per block"),
        ("rel_dev", "|h_L − h_0| / |h_0|"),
        ("cos", "cos(h_L, h_0)"),
    ):
        mean, sd = (metrics.get(f"identity/{name}_{end}") for end in ("mean", "std"))
        if mean is not None:
            said.append(f"{what}: {mean:.4f}{'' if sd is None else f' ± {sd:.4f}'} ({seeds}).")
    network = ", ".join(f"{name} = {params[name]}" for name in params)
    return Results(
        title=f"Frozen init: {run.info.run_name}; {seeds}",
        table=table,
        wide=table,
        figure=None,
        verdicts=[],
        question="How close to the identity is a network that has not been trained?",
        setup=(f"One untrained network per seed, on the first test images: {network}.",),
        findings=tuple(said),
        caveats=("Nothing was trained, and test images are only looked at.",),
    )
