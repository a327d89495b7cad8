"""Boundary ablation of the credit bridge: which choices its direction hangs on.

One-factor sweeps of the code, `tgw` and `warmup_ratio` around a base setting, and `warmup_ratio`
again under every other code that was run with more than one. The sweeps are read off the runs:
the base is, field by field, the value that most of the distinct settings share, RunSpec's default
where several are as frequent; a run at the base serves every sweep.

Margins are fixed here, before any number is seen. An accuracy is a fraction, a point is 0.01.
"""

import dataclasses
import itertools
import math
import textwrap
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any, NamedTuple

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from credit import audit
from credit.analysis.drawing import GREY, NARROW, OURS, SMALL, TEXT, WIDE, Style, add_legend
from credit.analysis.selection import ACCURACY, configuration, finished, metric, pick
from credit.analysis.tables import seeds_text
from credit.audit import Verdict
from credit.errors import CreditError
from credit.spec import RunSpec

COLLAPSE = 0.5
"""h_L in the code destroys Γ when Γ falls by more than this share of itself."""
ACCURACY_MARGIN = audit.DEPTH_MARGIN
"""Accuracies within 2 points of each other count as equal, as in the audit protocol (D3)."""
TREND_MARGIN = audit.POOR
"""Least change of Γ over a sweep that counts: .05, what the protocol calls no direction."""
STEP_SLACK = 0.02
"""How far Γ may fall from one value to the next in a sweep in which it grows: seeds scatter."""

QUANTITIES = {
    "alignment": "Γ",
    "alignment_inner": "Γ, l < L",
    "rho": "ρ",
    "nudge": "nudge",
    "accuracy": "test accuracy",
}
"""Columns of the tables and their headings. Γ, ρ and nudge are means over h_1 .. h_L; `inner`
leaves out h_L, where terminal matching alone can align the credit."""
_METRICS = {
    "alignment": "alignment/deep",
    "alignment_inner": "alignment/deep_inner",
    "rho": "rho/deep",
    "accuracy": ACCURACY,
}
_LOOKS = {
    "alignment": Style("#0072B2", "o"),
    "rho": Style("#D55E00", "s"),
    "accuracy": Style("#000000", "D"),
}


class Setting(NamedTuple):
    """What the ablation varies."""

    code: str
    tgw: float
    warmup_ratio: float


DEFAULT = Setting(RunSpec.code, RunSpec.tgw, RunSpec.warmup_ratio)
CODES = next(f.metadata["one_of"] for f in dataclasses.fields(RunSpec) if f.name == "code")


@dataclass(frozen=True)
class Sweep:
    """One field that varies while the others stay."""

    name: str
    field: str
    settings: list[Setting]  # in order of the field's value


class Undecided(Exception):
    """Why a verdict cannot be given."""


# --- a cell: runs that differ in their seed only; for other experiments, too -------------------


def by_seed(runs: pd.DataFrame, quantity: str) -> dict[int, float]:
    """A quantity of finished runs, by seed; nan where it is not valid.

    The nudge is the mean over h_1 .. h_L, a number only where all of them are valid.

    Raises:
        CreditError: the runs differ in more than their seed.
    """
    if runs.empty:
        return {}
    depth = int(configuration(runs, vary=("seed",))["depth"])
    if quantity == "nudge":
        layers = [metric(runs, f"nudge/h{layer:02d}") for layer in range(1, depth + 1)]
        values = [fmean(own) for own in zip(*layers, strict=True)]
    else:
        values = metric(runs, _METRICS[quantity])
    return dict(zip(sorted(runs["seed"].astype(int)), values, strict=True))


def summary(runs: pd.DataFrame) -> dict[str, Any]:
    """Mean, sd (ddof 1) and valid seeds (`_n`) of each quantity, and n, of a cell's finished runs.

    Raises:
        CreditError: the runs differ in more than their seed.
    """
    row: dict[str, Any] = {}
    for quantity in QUANTITIES:
        values = pd.Series(by_seed(runs, quantity), dtype=float)
        row[quantity], row[f"{quantity}_sd"] = values.mean(), values.std(ddof=1)
        row[f"{quantity}_n"] = int(values.notna().sum())
    return row | {"n": len(runs)}


def formatted(table: pd.DataFrame) -> pd.DataFrame:
    """The quantities of a table as strings under their headings, and n.

    As ".45 ± .02"; a cell with fewer valid seeds than its row has runs says so: "(n=2)".
    """
    return pd.DataFrame(
        {
            heading: [_cell(row, quantity) for row in table.to_dict("records")]
            for quantity, heading in QUANTITIES.items()
        }
        | {"n": table["n"].tolist()}
    )


def sample(runs: pd.DataFrame, quantity: str, who: str) -> dict[int, float]:
    """A quantity by seed, of a cell's finished runs, for a verdict.

    Raises:
        Undecided: there are none, one failed, or one has no valid value.
    """
    values = by_seed(finished(runs), quantity)
    failed = set(pick(runs, status="FAILED")["seed"].astype(int)) - set(values)
    if failed:
        raise Undecided(f"{who} failed on seed {', '.join(map(str, sorted(failed)))}")
    if not values:
        raise Undecided(f"{who} has no finished run")
    bad = [str(seed) for seed, value in values.items() if not math.isfinite(value)]
    if bad:
        raise Undecided(f"{QUANTITIES[quantity]} of {who} is not valid on seed {', '.join(bad)}")
    return values


def paired(samples: Sequence[Mapping[int, float]]) -> list[list[float]]:
    """The values of each sample on the seeds that all have, in order of seed.

    Raises:
        Undecided: no seed is in all samples.
    """
    seeds = sorted(set.intersection(*(set(own) for own in samples)))
    if not seeds:
        raise Undecided("the runs to compare have no finished seed in common")
    return [[own[seed] for seed in seeds] for own in samples]


def decide(check: str, threshold: float, judge: Callable[[], Verdict]) -> Verdict:
    """The verdict of `judge`, or why there is none."""
    try:
        return judge()
    except Undecided as why:
        return Verdict(check, "undefined", None, threshold, str(why))


def over(values: Sequence[float]) -> str:
    """How many seeds a number stands on: "n = 3 seeds"."""
    return f"n = {len(values)} seed{'s' if len(values) > 1 else ''}"


def short(value: float, sign: str = "") -> str:
    """As `.450`, or with `sign="+"` as `+.450`."""
    text = f"{value:{sign}.3f}"
    return text.replace("0.", ".", 1) if abs(value) < 1 else text


def _cell(row: Mapping[str, Any], quantity: str) -> str:
    mean, sd = row[quantity], row[f"{quantity}_sd"]
    if math.isnan(mean):
        return ""
    show = (lambda v: f"{v:.2g}") if quantity == "nudge" else short
    few = row[f"{quantity}_n"]
    return (
        show(mean)
        + ("" if math.isnan(sd) else f" ± {show(sd)}")
        + (f" (n={few})" if few < row["n"] else "")
    )


# --- the sweeps ----------------------------------------------------------------------------------


def describe(runs: pd.DataFrame) -> str:
    """What all runs have in common, for a title, with the base setting.

    Raises:
        CreditError: there are no runs, or they differ in more than the setting and the seed.
    """
    config = _configuration(runs)
    common = "{rule} on {dataset}, α={alpha:g}, d={width}, L={depth}, {epochs} epochs"
    return f"{common.format(**config)}; base {_text(base_of(runs))}"


def base_of(runs: pd.DataFrame) -> Setting:
    """Field by field, the value of most distinct settings; of equally many, RunSpec's default."""
    settings = _settings(runs)
    chosen: list[Any] = []
    for values, default in zip(zip(*settings, strict=True), DEFAULT, strict=True):
        counts = Counter(values)
        most = [value for value, count in counts.items() if count == max(counts.values())]
        chosen.append(default if default in most else min(most))
    return Setting(*chosen)


def sweeps_of(runs: pd.DataFrame) -> list[Sweep]:
    """The sweeps that the runs, finished or not, make up; each has two values or more."""
    settings, base = _settings(runs), base_of(runs)
    found = [Sweep(name, name, _along(settings, name, base)) for name in Setting._fields]
    for code in CODES:
        if code != base.code:
            own = _along(settings, "warmup_ratio", base._replace(code=code))
            found.append(Sweep(f"warmup_ratio, code={code}", "warmup_ratio", own))
    return [sweep for sweep in found if len(sweep.settings) > 1]


def outside(runs: pd.DataFrame) -> list[str]:
    """The settings that belong to no sweep, so that no table shows them."""
    inside = {setting for sweep in sweeps_of(runs) for setting in sweep.settings}
    return [_text(setting) for setting in _settings(runs) if setting not in inside]


def boundary(runs: pd.DataFrame) -> pd.DataFrame:
    """Γ, ρ, nudge and accuracy by sweep and value.

    Returns:
        Columns sweep, value (as text), base (whether this is the base setting), for each of
        QUANTITIES its mean, `_sd` (ddof 1) and `_n` (valid seeds), and n (finished runs).

    Raises:
        CreditError: there are no runs, they differ in more than the setting and the seed, or
            nothing was varied.
    """
    _configuration(runs)
    done, base, rows = finished(runs), base_of(runs), []
    for sweep in sweeps_of(runs):
        for setting in sweep.settings:
            value = _shown(getattr(setting, sweep.field))
            row = {"sweep": sweep.name, "value": value, "base": setting == base}
            rows.append(row | summary(_of(done, setting)))
    if not rows:
        raise CreditError(
            f"nothing was varied around {_text(base)}: "
            "pass two or more values of code, tgw or warmup_ratio"
        )
    return pd.DataFrame(rows)


def boundary_wide(table: pd.DataFrame) -> pd.DataFrame:
    """The table of `boundary` as strings, for Markdown and the terminal."""
    marks = [" (base)" if base else "" for base in table["base"]]
    named = {"sweep": table["sweep"].tolist(), "value": (table["value"] + marks).tolist()}
    return pd.concat([pd.DataFrame(named), formatted(table)], axis=1)


# --- verdicts ------------------------------------------------------------------------------------


def boundary_verdicts(runs: pd.DataFrame) -> list[dict[str, Any]]:
    """Whether what is expected holds: deltaL leads, h_L collapses, tgw helps, warmup trades.

    Comparisons are of means over the seeds that all runs involved have. A check that the runs
    do not cover is undefined.

    Returns:
        `audit.Verdict` as dictionaries, with `rule`; strict JSON.

    Raises:
        CreditError: as `boundary`.
    """
    rule, base = _configuration(runs)["rule"], base_of(runs)
    sweeps = {sweep.name: sweep for sweep in sweeps_of(runs)}
    found = [
        decide("deltaL leads", 0.0, lambda: _leads(runs, base)),
        decide("eT_hL", COLLAPSE, lambda: _collapse(runs, base, "eT")),
        decide("deltaL_hL", COLLAPSE, lambda: _collapse(runs, base, "deltaL")),
        decide("tgw", TREND_MARGIN, lambda: _grows(runs, sweeps.get("tgw"))),
    ]
    names = [name for name in sweeps if name.startswith("warmup_ratio")] or ["warmup_ratio"]
    for name in names:
        check = "warmup" if name == "warmup_ratio" else f"warm {name.rpartition('=')[2]}"
        own = sweeps.get(name)
        found.append(decide(check, -TREND_MARGIN, lambda s=own, c=check: _trades(runs, s, c)))
    return [{"rule": rule, **asdict(verdict)} for verdict in found]


def _leads(runs: pd.DataFrame, base: Setting) -> Verdict:
    codes = [c for c in CODES if not _of(runs, base._replace(code=c)).empty]
    if "deltaL" not in codes or len(codes) < 2:
        raise Undecided("deltaL and another code were not both run")
    samples = [_sample(runs, base._replace(code=c), "alignment") for c in codes]
    values = dict(zip(codes, paired(samples), strict=True))
    own = values.pop("deltaL")
    rival = max(values, key=lambda c: fmean(values[c]))
    lead = round(fmean(own) - fmean(values[rival]), 12)
    ahead = sum(v > max(rest) for v, *rest in zip(own, *values.values(), strict=True))
    reason = (
        f"Γ of deltaL is {short(fmean(own))}, of the best other code, {rival}, "
        f"{short(fmean(values[rival]))}: {short(lead, '+')}; it leads on {ahead} of {len(own)} "
        f"seeds ({over(own)})"
    )
    return Verdict("deltaL leads", _status(lead > 0), lead, 0.0, reason)


def _collapse(runs: pd.DataFrame, base: Setting, code: str) -> Verdict:
    pair = (base._replace(code=code), base._replace(code=f"{code}_hL"))
    (bare, joined), (before, after) = (
        paired([_sample(runs, setting, quantity) for setting in pair])
        for quantity in ("alignment", "accuracy")
    )
    if fmean(bare) < audit.POOR:
        raise Undecided(
            f"Γ of {code} is {short(fmean(bare))} ({over(bare)}), below {short(audit.POOR)}: "
            "there is nothing to destroy"
        )
    lost = round(1 - fmean(joined) / fmean(bare), 12)
    change = round(fmean(after) - fmean(before), 12)
    gone, stays = lost > COLLAPSE, abs(change) <= ACCURACY_MARGIN
    label = (
        f"Γ {'collapses' if gone else 'stays'}, accuracy "
        f"{'stays' if stays else 'rises' if change > 0 else 'falls'}"
    )
    reason = (
        f"{label}: Γ goes from {short(fmean(bare))} with {code} to "
        f"{short(fmean(joined))} with {code}_hL, "
        f"{-lost:+.0%} (a collapse is a fall by more than {COLLAPSE:.0%}); accuracy from "
        f"{short(fmean(before))} to {short(fmean(after))}, {100 * change:+.1f} points "
        f"(within {100 * ACCURACY_MARGIN:g} it stays); {over(bare)}"
    )
    return Verdict(f"{code}_hL", _status(gone and stays), lost, COLLAPSE, reason, label)


def _grows(runs: pd.DataFrame, sweep: Sweep | None) -> Verdict:
    means, _, seeds = _course(runs, sweep, "tgw")
    gain = round(means[-1] - means[0], 12)
    step = round(min(b - a for a, b in itertools.pairwise(means)), 12)
    grows = gain >= TREND_MARGIN and step >= -STEP_SLACK
    label = "grows" if grows else "falls" if gain <= -TREND_MARGIN else "no trend"
    reason = (
        f"{label}: Γ is {_listed(means, sweep)}: {short(gain, '+')} where "
        f"{short(TREND_MARGIN)} is asked for, the lowest step {short(step, '+')} "
        f"(at least {short(-STEP_SLACK)}); {seeds}"
    )
    return Verdict("tgw", _status(grows), gain, TREND_MARGIN, reason, label)


def _trades(runs: pd.DataFrame, sweep: Sweep | None, check: str) -> Verdict:
    gammas, accuracies, seeds = _course(runs, sweep, "warmup_ratio")
    turn = round(gammas[-1] - gammas[0], 12)
    gain = round(accuracies[-1] - accuracies[0], 12)
    words = _word(turn, TREND_MARGIN), _word(gain, ACCURACY_MARGIN)
    label = f"Γ {words[0]}, accuracy {words[1]}"
    reason = (
        f"{label}: Γ is {_listed(gammas, sweep)}: {short(turn, '+')} "
        f"(a change from {short(TREND_MARGIN)}); "
        f"accuracy {' '.join(map(short, accuracies))}: {100 * gain:+.1f} points (a change from "
        f"{100 * ACCURACY_MARGIN:g}); {seeds}"
    )
    return Verdict(check, _status(words == ("falls", "rises")), turn, -TREND_MARGIN, reason, label)


def _course(
    runs: pd.DataFrame, sweep: Sweep | None, field: str
) -> tuple[list[float], list[float], str]:
    """Mean Γ and accuracy along a sweep, over the seeds that all its values have."""
    if sweep is None:
        raise Undecided(f"{field} was not varied")
    gammas, accuracies = (
        paired([_sample(runs, setting, quantity) for setting in sweep.settings])
        for quantity in ("alignment", "accuracy")
    )
    return [fmean(v) for v in gammas], [fmean(v) for v in accuracies], over(gammas[0])


def _listed(means: list[float], sweep: Sweep | None) -> str:
    if sweep is None:
        return ""
    values = ",".join(_shown(getattr(s, sweep.field)) for s in sweep.settings)
    return f"{' '.join(map(short, means))} over {sweep.field}={values}"


def _word(change: float, margin: float) -> str:
    return "rises" if change >= margin else "falls" if change <= -margin else "stays"


def _status(ok: bool) -> str:
    return "pass" if ok else "fail"


def _configuration(runs: pd.DataFrame) -> dict[str, Any]:
    return configuration(runs, vary=("seed", *Setting._fields))


def _settings(runs: pd.DataFrame) -> list[Setting]:
    _configuration(runs)
    rows = runs[list(Setting._fields)].drop_duplicates().itertuples(index=False)
    return [Setting(*row) for row in rows]


def _along(settings: Sequence[Setting], name: str, base: Setting) -> list[Setting]:
    """The settings that equal `base` but for one field, in order of it."""
    fixed = {name: getattr(base, name)}
    own = [setting for setting in settings if setting._replace(**fixed) == base]
    return sorted(own, key=lambda s: CODES.index(s.code) if name == "code" else getattr(s, name))


def _of(runs: pd.DataFrame, setting: Setting) -> pd.DataFrame:
    return pick(runs, **setting._asdict())


def _sample(runs: pd.DataFrame, setting: Setting, quantity: str) -> dict[int, float]:
    return sample(_of(runs, setting), quantity, _text(setting))


def _shown(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:g}"


def _text(setting: Setting) -> str:
    return ", ".join(f"{k}={_shown(v)}" for k, v in setting._asdict().items())


# --- the figure ----------------------------------------------------------------------------------


def boundary_figure(table: pd.DataFrame, title: str, width: float = WIDE) -> Figure:
    """Γ and ρ, and below them accuracy, a column per sweep; the base setting is shaded.

    Args:
        table: of `boundary`.
        width: in inches; narrow figures show two sweeps beside each other.

    Raises:
        CreditError: the table has no rows.
    """
    if table.empty:
        raise CreditError("nothing to draw: the table has no rows, choose another experiment")
    names = list(dict.fromkeys(table["sweep"]))
    columns = min(len(names), 4 if width > NARROW else 2)
    bands = -(-len(names) // columns)
    figure = Figure(figsize=(width, 1.1 + 3.1 * bands), dpi=200, layout="constrained")
    size = 10 if width > NARROW else 9
    figure.suptitle(textwrap.fill(title, int(width * 120 / size)), fontsize=size)
    grid = figure.subplots(2 * bands, columns, squeeze=False)
    above, below = (list(grid[start::2].flat) for start in (0, 1))
    for axes in (*above[len(names) :], *below[len(names) :]):
        axes.remove()
    handles: list[Any] = []
    for index, name in enumerate(names):
        own, left = pick(table, sweep=name), index % columns == 0
        upper, lower = above[index], below[index]
        handles = _panel(upper, own, ("alignment", "rho"), table, left)
        handles += _panel(lower, own, ("accuracy",), table, left)
        upper.set_title(name.replace(", ", "\n"), fontsize=TEXT)
        upper.tick_params(labelbottom=False)
        if left:
            upper.set_ylabel("Γ and ρ", fontsize=TEXT)
            lower.set_ylabel("test accuracy", fontsize=TEXT)
    note = seeds_text(table).replace("sample sd", "sample sd (error bars)")
    note = f"{note}; Γ, ρ: means over l ≥ 1; shaded: the base setting"
    add_legend(figure, handles, width)
    figure.legends[0].set_title(textwrap.fill(note, int(width * 17)), {"size": SMALL})
    figure.legends[0].get_title().set_color(GREY)
    return figure


def _panel(
    axes: Axes, own: pd.DataFrame, kinds: Sequence[str], table: pd.DataFrame, left: bool
) -> list[Any]:
    """Draw quantities of one sweep, evenly spaced; their limits are those of the whole table."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=TEXT, labelleft=left)
    axes.grid(axis="y", linewidth=0.4, alpha=0.5)
    handles: list[Any] = []
    for index, kind in enumerate(kinds):
        places = [x + 0.08 * (index - (len(kinds) - 1) / 2) for x in range(len(own))]
        line = "none" if own["sweep"].iloc[0] == "code" else "-"
        bars = axes.errorbar(
            places,
            own[kind],
            yerr=own[f"{kind}_sd"],
            color=_LOOKS[kind].color,
            marker=_LOOKS[kind].marker,
            linestyle=line,
            label=QUANTITIES[kind],
            **OURS,
        )
        handles.append(bars)
    for place, base in enumerate(own["base"]):
        if base:
            axes.axvspan(place - 0.35, place + 0.35, color=GREY, alpha=0.12, linewidth=0, zorder=0)
    axes.set_xticks(range(len(own)), own["value"], rotation=30, ha="right", rotation_mode="anchor")
    axes.set_xlim(-0.5, len(own) - 0.5)
    ends = [
        table[kind] + sign * table[f"{kind}_sd"].fillna(0) for kind in kinds for sign in (-1, 1)
    ]
    low, high = min(e.min() for e in ends), max(e.max() for e in ends)
    if math.isfinite(low):
        margin = 0.06 * (high - low) or 0.01
        axes.set_ylim(low - margin, high + margin)
    return handles
