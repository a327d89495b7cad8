"""Alignment: the cosine between the credit a_l and the exact gradient g_l.

Per sample and per layer. Mean, median and standard deviation (over the batch, ddof 0) go into the
layer table; the mean is the metric. A sample without a direction, its gradient or its credit
exactly zero, is left out and counted. A cosine that is ±1 within float error is logged as ±1.
"""

from torch import Tensor

from credit.measures import agreement, validity, vectors
from credit.measures.base import CONTROLS, Probe, Report, mean_of, number

FLOAT_ERROR = 1e-6
"""How far float32 leaves the cosine of a vector with itself from 1, with room to spare."""


def measure(probe: Probe) -> list[Report]:
    """`alignment/hNN`, its means, `copy/...`, `agreement/...` and `valid/reference` of every run.

    An alignment is a number where g_l agrees with what float64 finds; `valid/reference` is 1 where
    g_L does.

    `copy/hNN` is the cosine of g_L, which every local rule has, with g_l: what passing the output's
    gradient back unchanged would reach. Where the skip path dominates that is much, and an
    alignment says little that does not exceed it.

    `alignment/all` is the mean over l = 0..L, `deep` over l >= 1, `deep_inner` over 1..L-1: a rule
    that is exact at h_L by construction raises the first two. A mean is present only when all of
    its layers are valid.
    """
    floor = validity.sample_floor(probe.options.reference_floor, probe.hiddens[0].dtype)
    reports = [Report() for _ in range(probe.runs)]
    agreements = [agreement.of_run(probe, run) for run in range(probe.runs)]
    last = len(probe.hiddens) - 1
    for layer, (h, g, a) in enumerate(zip(probe.hiddens, probe.grads, probe.credits, strict=True)):
        cos = vectors.cosine(a, g).double()
        credit_norms = vectors.median(vectors.norm(a))
        for run, report in enumerate(reports):
            finite = all(bool(t[run].isfinite().all()) for t in (h, g, a))
            agrees = agreements[run][layer]
            row = {
                "layer": layer,
                "status": validity.direction_status(finite, agrees, float(credit_norms[run])),
                "agreement": agrees,
                "exact_by_construction": probe.exact_at_output[run] and layer == last,
                "reference_floor": floor,
                **summary(cos[run]),
            }
            row["copy"] = _copied(probe.grads[-1][run], g[run])
            for name in CONTROLS:
                control = vectors.cosine(probe.control(name, run, layer), g[run]).double()
                row[f"alignment_{name}"] = cosine_number(control.nanmean())
                if name == "random":  # 1/sqrt(d) for directions that know nothing of g
                    row["alignment_random_std"] = deviation(control)
            report.layers.append(row)
    for report in reports:
        add_metrics(report)
    return reports


def add_metrics(report: Report) -> None:
    """Add the metrics that follow from the rows of a report."""
    rows = report.layers
    means = [row["alignment_mean"] if row["status"] == validity.OK else None for row in rows]
    known = [row["status"] not in validity.NO_REFERENCE for row in rows]
    copies = [
        row["copy"] if known[-1] and own else None for row, own in zip(rows, known, strict=True)
    ]
    for name, values in (("alignment", means), ("copy", copies)):
        report.add_layers(name, values)
        report.add(f"{name}/deep_inner", mean_of(values[1:-1]))
    report.add("alignment/all", mean_of(means))
    report.add("valid/reference", float(known[-1]))
    agreement.add_metrics(report)


def cosine_number(value: Tensor | float) -> float | None:
    """Return a cosine as a float, exactly ±1 within FLOAT_ERROR of it; None if it is not finite.

    Else the rounding of float32 draws a zigzag where the direction is exact.
    """
    known = number(value)
    return float(round(known)) if known is not None and 0 < 1 - abs(known) <= FLOAT_ERROR else known


def _copied(last: Tensor, g: Tensor) -> float | None:
    """The mean cosine of g_L and g_l; None where the two states have other sizes."""
    if last.shape != g.shape:
        return None
    return cosine_number(vectors.cosine(last, g).double().nanmean())


def summary(cosines: Tensor) -> dict[str, float | int | None]:
    """Return the columns of an alignment from its cosines (n,), nan where there is no direction."""
    defined = cosines[~cosines.isnan()]
    return {
        "alignment_mean": cosine_number(defined.mean()),
        "alignment_median": cosine_number(vectors.median(cosines)),
        "alignment_std": deviation(cosines),
        "alignment_undefined": len(cosines) - len(defined),
    }


def deviation(cosines: Tensor) -> float | None:
    """Return the standard deviation (ddof 0) of those that are defined."""
    defined = cosines[~cosines.isnan()]
    return number(defined.std(correction=0)) if len(defined) else None
