"""One run: one credit rule, one k, one seed, with every measurement that it has.

    python -m entrypoints.train --rule dfa --epochs 5   # 15 s on 2 CPU cores

Published (d=256, L=4, 100 epochs): bp .617, fa .402, dfa .301 with every block trained.
"""

from collections.abc import Mapping

import pandas as pd

from credit.lab import Experiment, Factor, Frame, Panel
from credit.lab import quantities as q
from credit.lab.layers import curves, layer_table
from credit.lab.looks import RULES
from credit.lab.options import fields
from credit.lab.source import Source
from credit.spec import RunSpec

FACTORS = (RULES, Factor("k", sign="k="), Factor("seed", sign="seed "))
COURSES = (q.ACCURACY, q.TRAIN_ACCURACY, q.GAMMA, q.GAMMA_INNER, q.RHO)


def more(frame: Frame, source: Source) -> Mapping[str, pd.DataFrame]:
    """Return the course over epochs, the layers, and the last value of every metric."""
    names = sorted(name for name in frame.runs.columns if "/" in name)
    own = frame.runs[names].iloc[0].astype(float).dropna()
    last = pd.DataFrame({"metric": own.index, "last value": own.to_numpy()})
    if frame.done.empty:
        return {"metrics": last}
    epochs, layers = curves(frame, source, COURSES), layer_table(frame, source)
    return {"metrics": last, "epochs": epochs, "layers": layers}


EXPERIMENT = Experiment(
    kind="train",
    title="One run",
    question="What does one run come to: one credit rule, one k, one seed?",
    factors=FACTORS,
    presets={},
    grid=lambda chosen: [RunSpec.from_mapping(fields(chosen))],
    columns=(
        *(q.ACCURACY, q.TRAIN_ACCURACY, *q.DIRECTION, q.COPY, q.COPY_INNER, q.RHO, q.RHO_RELATIVE),
        *(q.NUDGE, q.NUDGE_RELATIVE, q.FIT, q.GROWTH, q.GRADIENT, q.HIDDEN, q.CREDIT),
        *(q.SENSITIVITY, q.AGREEMENT, q.VALID_SEEDS, *q.COSTS, q.SECONDS),
    ),
    checks=lambda _: [],
    figure=(Panel(q.ACCURACY, x="epoch"), Panel(q.GAMMA, x="layer")),
    more=more,
    caveats=("A single run is compared with nothing; one seed has no error bars.",),
)
