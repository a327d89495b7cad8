"""Vector audit: does a learned vector field beat the gradient of a learned scalar, and by what?

A variant is named by what the runs say: `scalar` is the credit bridge; `M4`, `M8`, ... the vector
field with that many directions; `shuffle`, `no_terminal` and `one_sided` change one thing of M4
(of another M: "shuffle M8"; together: "shuffle+one_sided"). Other rules go by their own name and
are shown without a verdict.

Margins, fixed before any number was seen. All hold at every depth, or the check fails:

- BEATS: Γ and ρ of M4 (and M8, ...) exceed the scalar's by .10 or more on every seed, compared
  with the run of the same seed. .10 is half of what the protocol calls reasonable (.20), and less
  than a quarter of the lead that was reported (.46 at L=4).
- COLLAPSED: |Γ| of shuffle is below .10 on every seed: targets that belong to other samples must
  teach no direction. A random vector has |Γ| about .003 at d=128, 1024 samples; .10 leaves room
  for what is common to all samples, half of what counts as reasonable.
- KEEPS: without its terminal term the field's Γ falls by at most .10, or that term is what carries
  it. Less than BEATS asks for, so that what is left would still lead. A rise does not count
  against it; the label tells.
- ONE_SIDED: with one-sided differences Γ falls by at most .15. More is allowed, because their
  first-order error is the estimator's price, not a sign of a wrong target.

`audit` is the experiment's own: M4 beats the scalar and shuffle collapses.
"""

from collections.abc import Iterable
from dataclasses import asdict
from statistics import fmean
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from credit.analysis import published_vector
from credit.analysis.boundary import (
    QUANTITIES,
    by_seed,
    decide,
    formatted,
    over,
    paired,
    sample,
    short,
    summary,
)
from credit.analysis.drawing import (
    GREY,
    NARROW,
    OURS,
    REPORTED,
    TEXT,
    WIDE,
    Style,
    add_legend,
    caption,
    key,
    new_figure,
)
from credit.analysis.selection import configuration, finished, pick
from credit.analysis.tables import seeds_text
from credit.audit import Verdict
from credit.errors import CreditError
from credit.spec import LEARNED_FIELDS, RunSpec

BEATS = 0.10
COLLAPSED = 0.10
KEEPS = 0.10
ONE_SIDED = 0.15

SCALAR, FIELD = "credit_bridge", "vector_field"
CONTROLS = ("shuffle", "no_terminal", "one_sided")
MAIN = f"M{RunSpec.field_directions}"
"""What the controls are controls of."""

_VARIED = ("rule", "k", "seed", "depth")
_SCALAR_ONLY = ("tgw", "tau", "sigma", "sigma_relative", "draws", "ema")
_ARMS = ("field_directions", "one_sided", "shuffle", "terminal_weight")
_DEPTHS = tuple(map(Style, ("#0072B2", "#D55E00", "#009E73", "#CC79A7"), "osD^"))


def with_variants(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs with a column `variant`.

    Raises:
        CreditError: there are no runs; those of one depth differ in a setting that is neither the
            seed nor what makes a variant; or those of one variant and depth in any but the seed.
    """
    configuration(runs, vary=(*_VARIED, *LEARNED_FIELDS))
    named = runs.assign(variant=[_variant(run) for run in runs.to_dict("records")])
    learned = named.loc[named["rule"].isin([SCALAR, FIELD])]
    fields = pick(named, rule=FIELD)
    whole = fields.loc[fields["terminal_weight"] != 0]
    for own, vary in (
        (learned, (*_VARIED, *_SCALAR_ONLY, *_ARMS, "field_eps")),
        (fields, (*_VARIED, *_ARMS)),
        (whole, (*_VARIED, *_ARMS[:-1])),
    ):
        if len(own):
            configuration(own, vary=vary)
    for _, own in named.groupby("depth"):
        configuration(own, vary=("rule", "seed", *LEARNED_FIELDS))
    for _, own in named.groupby(["depth", "variant"]):
        configuration(own, vary=("seed",))
    return named


def describe(runs: pd.DataFrame) -> str:
    """What all runs have in common, for a title: "teacher, α=1, d=128, L=4 and 8, 80 epochs".

    Raises:
        CreditError: as `with_variants`.
    """
    config = configuration(runs, vary=(*_VARIED, *LEARNED_FIELDS))
    depths = " and ".join(map(str, sorted(runs["depth"].unique())))
    return "{dataset}, α={alpha:g}, d={width}, L={L}, {epochs} epochs".format(**config, L=depths)


def vector_table(runs: pd.DataFrame) -> pd.DataFrame:
    """Γ, ρ, nudge and accuracy by depth and variant, with what was reported for it.

    Returns:
        Columns depth, variant, for each of `boundary.QUANTITIES` its mean, `_sd` (ddof 1) and `_n`
        (valid seeds), n (finished runs), reported_alignment, reported_rho.

    Raises:
        CreditError: as `with_variants`.
    """
    named = with_variants(runs)
    done = finished(named)
    rows = [
        {"depth": depth, "variant": variant} | summary(pick(done, depth=depth, variant=variant))
        for depth in sorted(named["depth"].unique().tolist())
        for variant in _in_order(pick(named, depth=depth)["variant"])
    ]
    reported = published_vector.reported_vector(named)
    return pd.DataFrame(rows).merge(reported, on=["depth", "variant"], how="left")


def vector_wide(table: pd.DataFrame) -> pd.DataFrame:
    """The table of `vector_table` as strings, for Markdown and the terminal."""
    cells = formatted(table)
    for name in ("alignment", "rho"):
        reported = [f"{v:.2f}" if pd.notna(v) else "" for v in table[f"reported_{name}"]]
        heading = f"{QUANTITIES[name]} reported"
        place = int(cells.columns.get_loc(QUANTITIES[name])) + 1
        if any(reported):
            cells.insert(place, heading, [text.replace("0.", ".", 1) for text in reported])
    return pd.concat([table[["depth", "variant"]], cells], axis=1)


def sources(table: pd.DataFrame) -> list[str]:
    """Where the reported values of a table come from; nothing where it shows none."""
    if table[["reported_alignment", "reported_rho"]].isna().all(axis=None):
        return []
    depths = "of the controls without their depth, so that one number stands at every L"
    return [f"reported: {published_vector.SOURCE.removeprefix('reported ')}, {depths}"]


def vector_verdicts(runs: pd.DataFrame) -> list[dict[str, Any]]:
    """Each check's outcome over all depths, by the margins stated above.

    `value` is what lies nearest to failing: the smallest lead of any depth, seed, Γ or ρ; the
    largest |Γ| of shuffle; the largest fall of Γ, as a mean over seeds.

    Returns:
        `audit.Verdict` as dictionaries, with `rule`; strict JSON.

    Raises:
        CreditError: as `with_variants`.
    """
    named = with_variants(runs)
    plain = {v for v in named["variant"] if v[0] == "M" and v[1:].isdigit()} | {MAIN}
    beats = [decide(f"{v} > scalar", BEATS, lambda v=v: _beats(named, v)) for v in _in_order(plain)]
    collapse = decide("shuffle", COLLAPSED, lambda: _collapses(named))
    main = next(verdict for verdict in beats if verdict.check.startswith(f"{MAIN} "))
    found = [
        *beats,
        collapse,
        *(
            decide(v, margin, lambda v=v, m=margin: _keeps(named, v, m))
            for v, margin in (("no_terminal", KEEPS), ("one_sided", ONE_SIDED))
        ),
        _both(main, collapse),
    ]
    return [{"rule": FIELD, **asdict(verdict)} for verdict in found]


def vector_figure(table: pd.DataFrame, title: str, width: float = WIDE) -> Figure:
    """Γ, ρ and accuracy by variant, a colour per depth; reported values hollow.

    Args:
        table: of `vector_table`.
        width: in inches; narrow figures stack the panels.

    Raises:
        CreditError: the table has no rows.
    """
    if table.empty:
        raise CreditError("nothing to draw: the table has no rows, choose another experiment")
    height, room = (3.6, width / 4) if width > NARROW else (7.2, width)
    figure, panels = new_figure(title, width, height, panels=3)
    names = _in_order(table["variant"])
    depths = sorted(table["depth"].unique())
    handles: list[Any] = []
    for axes, quantity in zip(panels, ("alignment", "rho", "accuracy"), strict=True):
        handles = [
            _points(axes, pick(table, depth=depth), names, quantity, index, len(depths))
            for index, depth in enumerate(depths)
        ]
        axes.set_xticks(
            range(len(names)), names, rotation=40, ha="right", rotation_mode="anchor", fontsize=TEXT
        )
        axes.set_xlim(-0.6, len(names) - 0.4)
        axes.set_ylabel(QUANTITIES[quantity], fontsize=TEXT)
    if "shuffle" in names:
        place = names.index("shuffle")
        panels[0].fill_between(
            [place - 0.5, place + 0.5], -COLLAPSED, COLLAPSED, color=GREY, alpha=0.15, linewidth=0
        )
        caption(panels[0], f"shaded: collapsed, |Γ| < {short(COLLAPSED)[:-1]}", room)
    caption(panels[1], "Γ and ρ: mean over l ≥ 1", room)
    caption(panels[2], seeds_text(table), room)
    if sources(table):
        handles.append(key("o", "reported by the experiment's authors"))
    add_legend(figure, handles, width)
    return figure


def _points(
    axes: Axes, own: pd.DataFrame, names: list[str], quantity: str, index: int, depths: int
) -> Any:
    """One depth's points in a panel, and what was reported right of them."""
    look = _DEPTHS[index % len(_DEPTHS)]
    shift = 0.5 * (index - (depths - 1) / 2) / max(depths - 1, 1) - 0.09
    places = own["variant"].map(names.index) + shift
    bars = axes.errorbar(
        places,
        own[quantity],
        yerr=own[f"{quantity}_sd"],
        color=look.color,
        marker=look.marker,
        linestyle="none",
        label=f"L={own['depth'].iloc[0]}",
        **OURS,
    )
    if f"reported_{quantity}" in own:
        known = own[f"reported_{quantity}"].notna()
        axes.errorbar(
            places[known] + 0.18,
            own.loc[known, f"reported_{quantity}"],
            color=look.color,
            marker=look.marker,
            **REPORTED,
        )
    return bars


def _variant(run: dict[str, Any]) -> str:
    if run["rule"] != FIELD:
        return "scalar" if run["rule"] == SCALAR else str(run["rule"])
    changed = (run["shuffle"], run["terminal_weight"] == 0, run["one_sided"])
    controls = "+".join(name for name, on in zip(CONTROLS, changed, strict=True) if on)
    size = f"M{run['field_directions']}"
    return size if not controls else controls if size == MAIN else f"{controls} {size}"


def _in_order(variants: Iterable[str]) -> list[str]:
    """Each once: the scalar, the plain fields by M, the controls, then the others by name."""
    known = set(variants)
    plain = sorted((v for v in known if v[0] == "M" and v[1:].isdigit()), key=lambda v: int(v[1:]))
    first = ["scalar", *plain, *CONTROLS]
    return [v for v in first if v in known] + sorted(known - set(first))


def _depths(runs: pd.DataFrame) -> list[int]:
    return sorted(runs["depth"].unique().tolist())


def _cell(runs: pd.DataFrame, depth: int, variant: str, quantity: str) -> dict[int, float]:
    own = pick(runs, depth=depth, variant=variant)
    return sample(own, quantity, f"{variant} at L={depth}")


def _differences(
    runs: pd.DataFrame, depth: int, variant: str, other: str, quantity: str
) -> list[float]:
    """Of `variant` minus `other`, by seed, on the seeds that both have."""
    pair = paired([_cell(runs, depth, name, quantity) for name in (variant, other)])
    return [round(a - b, 12) for a, b in zip(*pair, strict=True)]


def _beats(runs: pd.DataFrame, variant: str) -> Verdict:
    leads, parts = [], []
    for depth in _depths(runs):
        found = {q: _differences(runs, depth, variant, "scalar", q) for q in ("alignment", "rho")}
        leads += [min(own) for own in found.values()]
        words = ", ".join(
            f"{QUANTITIES[q]} {short(fmean(own), '+')} (least {short(min(own), '+')})"
            for q, own in found.items()
        )
        parts.append(f"L={depth}: {words}, {over(found['rho'])}")
    least = min(leads)
    reason = (
        f"{variant} minus scalar, by seed: {'; '.join(parts)}; on every seed at least "
        f"{short(BEATS, '+')} is asked for"
    )
    return Verdict(f"{variant} > scalar", _status(least >= BEATS), least, BEATS, reason)


def _collapses(runs: pd.DataFrame) -> Verdict:
    sizes, parts = [], []
    for depth in _depths(runs):
        values = list(_cell(runs, depth, "shuffle", "alignment").values())
        sizes.append(round(max(map(abs, values)), 12))  # .09 + .01 is .10, not below it
        own = finished(pick(runs, depth=depth, variant="shuffle"))
        inner = list(by_seed(own, "alignment_inner").values())
        without = f", without h_L {short(fmean(inner))}" if pd.notna(inner).all() else ""
        parts.append(
            f"L={depth}: {short(fmean(values))} (largest size {short(sizes[-1])}{without}), "
            f"{over(values)}"
        )
    worst = max(sizes)
    reason = (
        f"Γ of shuffle: {'; '.join(parts)}; below {short(COLLAPSED)} on every seed is asked for"
    )
    return Verdict("shuffle", _status(worst < COLLAPSED), worst, COLLAPSED, reason)


def _keeps(runs: pd.DataFrame, variant: str, margin: float) -> Verdict:
    changes, parts = [], []
    for depth in _depths(runs):
        own = _differences(runs, depth, variant, MAIN, "alignment")
        changes.append(round(fmean(own), 12))
        lowest = short(min(own), "+")
        parts.append(f"L={depth}: {short(changes[-1], '+')} (lowest seed {lowest}), {over(own)}")
    fall = -min(changes)
    label = "falls" if fall > margin else "rises" if max(changes) > margin else "stays"
    reason = (
        f"{label}: Γ of {variant} minus {MAIN}: {'; '.join(parts)}; "
        f"a fall by {short(margin)} is allowed"
    )
    return Verdict(variant, _status(fall <= margin), fall, margin, reason, label)


def _both(beats: Verdict, collapse: Verdict) -> Verdict:
    statuses = {beats.status, collapse.status}
    status = next(s for s in ("fail", "undefined", "pass") if s in statuses)
    reason = f"{beats.check}: {beats.status}; shuffle collapses: {collapse.status}"
    return Verdict("audit", status, None, None, reason)


def _status(ok: bool) -> str:
    return "pass" if ok else "fail"
