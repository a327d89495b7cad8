"""Is fa's lead over dfa its direction, or its credit that shrinks?

Margins, fixed before any number was seen; an accuracy is a fraction, a point is 0.01. Differences
are between runs of the same seed. `pass` means that what was published does not hang on the size of
the credit.

- AGREE: at credit_eps = 0 mean and sum are one rule, and their runs differ by rounding alone, which
  the training amplifies. Accuracies must agree within 2 points on every seed, or the bench scales
  the credit somewhere else. The reason says how far apart they are after the first epoch and at
  the end.
- SAME: with the published credit_eps instead of 0, and with the mean's gradient instead of the
  sum's, mean accuracy changes by less than 2 points, the protocol's margin for what counts as a
  difference; else the credit's size is part of the result.
- LEAD: fa leads dfa, each as published, by 2 points or more, or there is no lead to explain.
- HALF: of that lead, the share that is left at credit_eps = 0, as a ratio of means over seeds. From
  one half on it is `direction`, below it `scale effect`.
"""

from dataclasses import asdict
from statistics import fmean
from typing import Any

import pandas as pd

from credit import audit
from credit.analysis.cells import Undecided, decide, paired, sample
from credit.analysis.controls_wording import points
from credit.analysis.credit_scale import shared
from credit.analysis.credit_scale_reported import (
    PUBLISHED_EPS,
    RULES,
    Setting,
    published_setting,
)
from credit.analysis.selection import finished, in_order, metric
from credit.analysis.wording import over, short, status
from credit.audit import Verdict

AGREE = SAME = LEAD = audit.DEPTH_MARGIN
HALF = 0.5


def verdicts(runs: pd.DataFrame, courses: pd.DataFrame | None = None) -> list[dict[str, Any]]:
    """Each rule's checks, and what is left of fa's lead.

    Args:
        courses: of `credit_scale.courses`, for how far equal runs are apart after the first epoch.

    Returns:
        `audit.Verdict` as dictionaries, with `rule`; strict JSON.

    Raises:
        CreditError: as `credit_scale.shared`.
    """
    shared(runs)
    found: list[dict[str, Any]] = []
    for rule in in_order({*runs["rule"]} | {*RULES}):
        own = published_setting(rule)
        free, mean, whole = own._replace(eps=0.0), *(Setting(r, own.eps) for r in ("mean", "sum"))
        eps = f"{PUBLISHED_EPS:g}"
        checks = [
            decide("mean = sum, eps 0", AGREE, lambda r=rule: _agree(runs, r, courses)),
            _matters(runs, rule, f"eps {eps} - 0", own, free),
            _matters(runs, rule, f"mean - sum, eps {eps}", mean, whole),
        ]
        found += [{"rule": rule, **asdict(verdict)} for verdict in checks]
    lead = [
        decide("lead", LEAD, lambda: _lead(runs)),
        decide("share of the lead", HALF, lambda: _share(runs)),
    ]
    return found + [{"rule": RULES[0], **asdict(verdict)} for verdict in lead]


def _agree(runs: pd.DataFrame, rule: str, courses: pd.DataFrame | None) -> Verdict:
    pair = [Setting(reduction, 0.0) for reduction in ("mean", "sum")]
    gaps = _gaps(*paired([_accuracy(runs, rule, setting) for setting in pair]))
    worst = max(map(abs, gaps))
    reason = (
        f"{rule} at eps=0 with the mean's and the sum's gradient: accuracies differ by at most "
        f"{100 * worst:.2f} points at the end ({over(gaps)}){_early(rule, courses)}; within "
        f"{100 * AGREE:g} points on every seed is asked for"
    )
    sizes = [_hidden(runs, rule, setting) for setting in pair]
    reason += f"; ‖h_L‖ {sizes[0]:.2g} and {sizes[1]:.2g}"
    return Verdict("mean = sum, eps 0", status(worst <= AGREE), worst, AGREE, reason)


def _early(rule: str, courses: pd.DataFrame | None) -> str:
    """How far the runs of `_agree` are apart after their first epoch."""
    if courses is None:
        return ""
    own = courses.loc[(courses["rule"] == rule) & (courses["eps"] == 0)]
    apart = own.loc[own["epoch"] == own["epoch"].min()].pivot(
        index="seed", columns="reduction", values="accuracy"
    )
    if not {"mean", "sum"} <= set(apart):
        return ""
    worst = (apart["mean"] - apart["sum"]).abs().max()
    return f", by {100 * worst:.2f} after epoch {own['epoch'].min()}"


def _matters(runs: pd.DataFrame, rule: str, check: str, one: Setting, other: Setting) -> Verdict:
    """Whether accuracy hangs on the credit's size, between two settings of one rule."""

    def judge() -> Verdict:
        first, second = paired([_accuracy(runs, rule, setting) for setting in (one, other)])
        gaps = _gaps(first, second)
        change = round(fmean(gaps), 12)
        label = "higher" if change >= SAME else "lower" if change <= -SAME else "equal"
        sizes = [_hidden(runs, rule, setting) for setting in (one, other)]
        reason = (
            f"{rule} has {short(fmean(first))} with ‖h_L‖ {sizes[0]:.2g} at {one}, "
            f"{short(fmean(second))} with ‖h_L‖ {sizes[1]:.2g} at {other}: {points(change)} "
            f"({_listed(gaps)}; {over(gaps)}): {label}, where less than {100 * SAME:g} points "
            "either way count as equal"
        )
        return Verdict(check, status(label == "equal"), change, SAME, reason, label)

    return decide(check, SAME, judge)


def _lead(runs: pd.DataFrame) -> Verdict:
    ours, theirs = paired([_accuracy(runs, rule, published_setting(rule)) for rule in RULES])
    gaps = _gaps(ours, theirs)
    lead = round(fmean(gaps), 12)
    reason = (
        f"fa {short(fmean(ours))} ({published_setting('fa')}), dfa {short(fmean(theirs))} "
        f"({published_setting('dfa')}): {points(lead)} ({_listed(gaps)}; {over(gaps)}), where "
        f"{points(LEAD)} are asked for of the mean; {sum(gap >= LEAD for gap in gaps)} of "
        f"{len(gaps)} seeds alone have them"
    )
    return Verdict("lead", status(lead >= LEAD), lead, LEAD, reason)


def _share(runs: pd.DataFrame) -> Verdict:
    settings = [published_setting(rule) for rule in RULES]
    free = [setting._replace(eps=0.0) for setting in settings]
    cells = [
        _accuracy(runs, rule, setting)
        for pair in (settings, free)
        for rule, setting in zip(RULES, pair, strict=True)
    ]
    fa, dfa, fa_free, dfa_free = paired(cells)
    leads, left = _gaps(fa, dfa), _gaps(fa_free, dfa_free)
    lead, rest = round(fmean(leads), 12), round(fmean(left), 12)
    if lead < LEAD:
        raise Undecided(
            f"fa leads dfa by {points(lead)} as published ({_listed(leads)}; {over(leads)}), less "
            f"than {100 * LEAD:g} points: a share of it is no number"
        )
    share = round(rest / lead, 12)
    label = "direction" if share >= HALF else "scale effect"
    side = sum((b >= HALF * a) == (share >= HALF) for a, b in zip(leads, left, strict=True))
    kept = f"{share:.0%}" if share > 0 else "nothing"
    reason = (
        f"fa leads dfa by {points(lead)} as published ({_listed(leads)}) and by {points(rest)} "
        f"at eps=0 ({_listed(left)}): {kept} of the lead is left without a brake, so it is "
        f"{'mostly its direction' if label == 'direction' else 'mostly a scale effect'} (from "
        f"{HALF:.0%} on it is direction); {side} of {len(leads)} seeds alone say the same "
        f"({over(leads)})"
    )
    return Verdict("share of the lead", status(share >= HALF), share, HALF, reason, label)


def _accuracy(runs: pd.DataFrame, rule: str, setting: Setting) -> dict[int, float]:
    return sample(setting.of(runs, rule), "accuracy", f"{rule} at {setting}")


def _hidden(runs: pd.DataFrame, rule: str, setting: Setting) -> float:
    """Median ‖h_L‖ over seeds."""
    depth = int(runs["depth"].iloc[0])
    own = setting.of(finished(runs), rule)
    return float(pd.Series(metric(own, f"hidden_norm/h{depth:02d}"), dtype=float).median())


def _gaps(ours: list[float], theirs: list[float]) -> list[float]:
    return [round(a - b, 12) for a, b in zip(ours, theirs, strict=True)]


def _listed(gaps: list[float]) -> str:
    return "by seed " + " ".join(f"{100 * gap:+.1f}" for gap in gaps)
