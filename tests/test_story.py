"""The story: claims on frames worked out by hand, what is missing, and which parent is told."""

import hashlib
import math
import statistics

import matplotlib.image
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from credit.analysis import (
    story,
    story_controls,
    story_depth,
    story_learned,
    story_methods,
    story_online,
    story_tables,
    story_trained,
)
from credit.analysis.story_claim import FAILS, HOLDS, MISSING, UNDECIDED, Claim, Limit, Unit
from credit.analysis.story_figure import story_figure
from credit.errors import CreditError
from credit.spec import RunSpec
from credit.tracking.reader import connect
from credit.tracking.writer import finish, open_child, open_parent, open_store
from tests import (
    test_analysis,
    test_comparison,
    test_credit_scale,
    test_depth_scan,
    test_frozen_recovery,
    test_matched_controls,
    test_nonlinearity,
    test_online_scan,
)

FLOOR = 1.024e-4  # per sample
FEW = "without k=1, 3, without bp k=2, fa k=2, dfa k=2"
LADDER = {
    "bp": {0: [0.38, 0.39, 0.40], 4: [0.60, 0.62, 0.61]},
    "oracle": {0: [0.34, 0.34, 0.34], 2: [0.47, 0.48, 0.49], 4: [0.44, 0.44, 0.44]},
    "fa": {0: [0.35, 0.35, 0.35], 4: [0.39, 0.40, 0.41]},
    "dfa": {0: [0.35, 0.35, 0.35], 4: [0.30, 0.29, 0.31]},
}


def direction_runs(bare: float = FLOOR / 100, held: float = FLOOR * 10, cosine: float = 0.25):
    """dfa without and with the penalty: |g_L| of each, and the cosine at the middle layer."""
    rows = []
    for penalty, norm in ((0.0, bare), (0.01, held)):
        metrics = {"grad_norm/h04": norm, "growth/max": 2.0}
        if norm > FLOOR:
            metrics["alignment/h02"] = cosine
        rows.append(test_analysis.row(0.3, rule="dfa", k=4, penalty=penalty, **metrics))
    return pd.DataFrame(rows)


def fitted(runs: pd.DataFrame, left: float = 0.1) -> pd.DataFrame:
    return runs.assign(**{"estimator/gradient": left})


def by_name(claims: list[Claim]) -> dict[str, Claim]:
    found = {one.name: one for one in claims}
    assert len(found) == len(claims)
    return found


def told(kind: str, runs: pd.DataFrame, place: int = 1) -> story.Chapter:
    return story.chapter(kind, place, runs, "0123456789abcdef", "7", "the newest")


def every_chapter() -> list[story.Chapter]:
    frames = {
        "ladder": test_analysis.grid(LADDER),
        "direction_quality": direction_runs(),
        "nonlinearity_ladder": fitted(test_nonlinearity.ladder()),
        "frozen_recovery": test_frozen_recovery.frame(),
        "online_scan": test_online_scan.frame(),
        "method_comparison": test_comparison.frame(),
        "depth_scan": test_depth_scan.frame(),
        "matched_controls": test_matched_controls.frame(),
    }
    return [
        told(kind, frames[kind], place) if kind in frames else story.chapter(kind, place)
        for place, kind in enumerate(story.KINDS, start=1)
    ]


@pytest.fixture(scope="module")
def chapters() -> list[story.Chapter]:
    return every_chapter()


def test_ladder_by_hand():
    runs = test_analysis.grid(LADDER)
    found = by_name(story_trained.ladder(runs))
    assert {one.status for one in found.values()} == {HOLDS}
    fa = found["fa uses depth"]
    (point,) = fa.points
    assert point.values == {42: 0.04, 123: 0.05, 456: 0.06}
    assert point.mean == pytest.approx(0.05) and point.sd == pytest.approx(0.01)
    own = runs[(runs["rule"] == "fa") & runs["k"].isin([0, 4])]
    assert set(point.runs) == set(fa.runs) == set(own["run_id"])
    assert fa.sentence == (
        "Feedback alignment gains 2 points or more from training all 4 blocks rather than none "
        "(fa +5.0 ± 1.0 points; n = 3)."
    )
    share = found["fa: a part of the oracle's gain"]
    assert share.points[0].mean == pytest.approx(0.5)
    assert share.points[0].values == pytest.approx({42: 0.4, 123: 0.5, 456: 0.6})
    assert "The oracle itself has .480 at k=2 but .440 at k=4" in share.sentence
    assert found["dfa: nothing of the oracle's gain"].points[0].mean < 0


def test_a_share_of_means_counts_the_seeds_of_the_means():
    uneven = LADDER | {"oracle": {0: [0.34] * 3, 4: [0.35, 0.44, 0.53]}}  # +1, +10, +19 points
    found = by_name(story_trained.ladder(test_analysis.grid(uneven)))
    (point,) = found["fa: a part of the oracle's gain"].points
    assert point.mean == pytest.approx(0.5) and point.n == 3
    assert set(point.values) == {123, 456} and math.isnan(point.sd)  # no share of one point


def test_the_copy_control_on_a_network_that_stands_still():
    frame = test_frozen_recovery.frame
    name = "estimators find more than the skip path"
    own = by_name(story_learned.still(frame()))[name]
    assert own.status == HOLDS and own.limit.low == 0.05
    field = {point.label: point for point in own.points}["M4"]
    assert field.values == pytest.approx({42: 0.31, 123: 0.32, 456: 0.33})
    assert len(field.runs) == 3
    runs = frame().assign(**{"copy/deep_inner": 0.2})
    own = by_name(story_learned.still(runs))[name]
    assert own.status == FAILS
    assert "3 of 6 have a Γ below h_L that is .05 above" in own.sentence  # M4, M8 and M16
    bare = frame().drop(columns=["copy/deep", "copy/deep_inner"])
    own = by_name(story_learned.still(bare))[name]
    assert own.status == UNDECIDED and "has no copy/deep_inner on seed 42" in own.sentence


def test_the_copy_control_while_the_network_trains():
    name = "estimators find more than the skip path"
    own = by_name(story_online.moving(test_online_scan.frame()))[name]
    assert own.status == HOLDS and len(own.points) == 4
    best = {point.label: point for point in own.points}["credit_eT warm-up 0.2"]
    assert best.detail == "tgw 4" and best.mean == pytest.approx(0.19) and best.n == 3
    high = test_online_scan.frame().assign(**{"copy/deep_inner": 0.94})
    own = by_name(story_online.moving(high))[name]
    assert own.status == FAILS and "0 of 4 have a Γ below h_L" in own.sentence
    full = test_online_scan.frame().assign(**{"copy/deep_inner": 0.99})  # no room for more
    assert by_name(story_online.moving(full))[name].status == UNDECIDED


def test_controls_by_hand():
    found = by_name(story_controls.matched(test_matched_controls.frame()))
    bp = found["bp: depth, not parameters"]
    assert bp.status == HOLDS and bp.points[0].mean == pytest.approx(0.035)
    assert len(bp.points[0].runs) == 6
    local = found["local rules: depth, not parameters"]
    assert local.status == FAILS
    assert [point.mean for point in local.points] == pytest.approx([0.002, -0.05])
    embedding = found["local rules: blocks, not the embedding"]
    assert embedding.status == FAILS and len(embedding.points) == 6
    assert {point.kind for point in embedding.points} == {
        "over its own embedding",
        "over bp's embedding",
        "over a frozen embedding",
    }
    fa = [point.mean for point in embedding.points if point.label == "fa"]
    assert fa == pytest.approx([0.047, 0.013, 0.072])
    penalty = found["the penalty helps local rules"]
    assert penalty.status == FAILS  # fa: -1.2 points, dfa: +6
    assert [point.mean for point in penalty.points] == pytest.approx([-0.012, 0.06])
    chance = found["random labels teach nothing"]
    assert chance.status == HOLDS and len(chance.points) == 3
    helped = test_matched_controls.with_cell("fa", "penalty", 0.43, 0.4, 4.0)
    assert by_name(story_controls.matched(helped))[penalty.name].status == HOLDS
    few = test_matched_controls.frame({"fa": {"k=L": (0.4, 0.4, 1.0)}})
    assert {one.status for one in story_controls.matched(few)} == {UNDECIDED}


def test_depths_by_hand():
    found = by_name(story_depth.depths(test_depth_scan.frame()))
    assert found["bp gains from depth"].status == HOLDS
    assert found["bp gains from depth"].points[0].mean == pytest.approx(0.03)
    assert found["the oracle gains from depth"].status == UNDECIDED  # it was not run
    fixed = found["fixed feedback gains nothing from depth"]
    assert fixed.status == HOLDS and fixed.points[0].mean == pytest.approx(-0.07)
    assert len(fixed.points[0].runs) == 6
    learned = found["learned credit gains nothing from depth"]
    assert learned.status == HOLDS and "From L=2 to 12 no rule that learns" in learned.sentence
    rising = test_depth_scan.COURSES | {"credit_bridge": (0.30, 0.3, 0.3, 0.3, 0.35)}
    found = by_name(story_depth.depths(test_depth_scan.frame(rising)))
    learned = found["learned credit gains nothing from depth"]
    assert learned.status == FAILS and "a rule that learns its credit gains" in learned.sentence
    # seeds that a depth lacks do not count at the others
    runs = test_depth_scan.frame()
    runs.loc[(runs["depth"] == 6) & (runs["seed"] == 456), "status"] = "RUNNING"
    assert by_name(story_depth.depths(runs))["bp gains from depth"].points[0].n == 2


def test_a_claim_that_does_not_hold_says_so():
    flat = LADDER | {"fa": {0: [0.35] * 3, 4: [0.36] * 3}, "dfa": {0: [0.3] * 3, 4: [0.4] * 3}}
    found = by_name(story_trained.ladder(test_analysis.grid(flat)))
    fa, dfa = found["fa uses depth"], found["dfa does not use depth"]
    assert (fa.status, dfa.status) == (FAILS, FAILS)
    assert fa.sentence.startswith("Feedback alignment does not gain 2 points")
    assert "+1.0 points" in fa.sentence
    assert dfa.sentence.startswith("Direct feedback alignment gains 2 points or more")
    assert found["dfa: nothing of the oracle's gain"].status == FAILS
    low = LADDER | {"oracle": {0: [0.34] * 3, 4: [0.34] * 3}}
    exact = by_name(story_trained.ladder(test_analysis.grid(low)))["exact gradients use depth"]
    assert exact.status == FAILS  # one of its two rules is enough


def test_a_claim_without_its_runs_is_undecided():
    runs = test_analysis.grid({rule: LADDER[rule] for rule in ("bp", "dfa")})
    found = by_name(story_trained.ladder(runs))
    assert found["fa uses depth"].status == UNDECIDED
    assert found["fa uses depth"].sentence == "Undecided, fa uses depth: fa was not run."
    assert found["fa uses depth"].seeds == "" and found["dfa does not use depth"].status == HOLDS
    flat = test_analysis.grid(LADDER | {"bp": {0: [0.38] * 3, 4: [0.38] * 3}})
    why = by_name(story_trained.ladder(flat))["fa uses depth"].sentence
    assert "bp itself gains only +0.0 points" in why


@pytest.mark.parametrize(
    ("norms", "statuses", "orders"),
    [
        ((FLOOR / 100, FLOOR * 10, 0.25), [HOLDS, HOLDS, HOLDS], [-2.0, 1.0]),
        ((FLOOR * 10, FLOOR * 10, 0.01), [FAILS, HOLDS, FAILS], [1.0, 1.0]),
        ((FLOOR / 100, FLOOR / 10, 0.25), [HOLDS, FAILS, UNDECIDED], [-2.0, -1.0]),
    ],
)
def test_direction_by_hand(norms, statuses, orders):
    claims = story_trained.direction(direction_runs(*norms))
    assert [one.status for one in claims] == statuses
    assert [one.points[0].mean for one in claims[:2]] == pytest.approx(orders)
    if statuses[2] == HOLDS:
        assert "|cos|" in claims[2].unit.axis and "“reasonable”" in claims[2].sentence
        both = direction_runs(FLOOR * 10, FLOOR * 10)
        both.loc[both["penalty"] == 0, "alignment/h02"] = 0.01  # poor, and not asked about
        assert "“reasonable”" in story_trained.direction(both)[2].sentence
    if statuses[2] == UNDECIDED:
        assert "D2 does not hold" in claims[2].sentence and math.isnan(claims[2].points[0].mean)


def test_nonlinearity_by_hand():
    runs = fitted(test_nonlinearity.ladder())
    found = by_name(story_learned.nonlinear(runs))
    assert {one.status for one in found.values()} == {HOLDS}
    state = found["the state bridge falls with depth"]
    assert state.sentence.startswith("Γ of the state bridge, .520 .340 at L = 2 4, falls")
    assert [point.mean for point in state.points] == pytest.approx([-0.18, -0.18])
    assert [point.kind for point in state.points] == ["Γ", "Γ, l < L"]
    field = found["the vector field is far above both"]
    assert field.points[0].mean == pytest.approx(0.35)  # over the better bridge
    assert len(field.points[0].runs) == 9
    dfa = found["dfa has no direction"]
    assert len(dfa.points) == 4 and {p.label for p in dfa.points} == {"α=0", "α=1"}
    assert not any("not fitted" in one.sentence for one in found.values())


def test_an_estimator_that_is_not_fitted_is_named():
    found = by_name(story_learned.nonlinear(fitted(test_nonlinearity.ladder(), 0.97)))
    fall = found["the credit bridge falls with depth"]
    assert fall.status == HOLDS and "not fitted at L=2 (.970 of the target left)" in fall.sentence
    assert "not fitted" not in found["the state bridge falls with depth"].sentence
    rising = {("state_bridge", 1.0): {2: 0.3, 4: 0.4}}
    shape = test_nonlinearity.SHAPE | rising
    found = by_name(story_learned.nonlinear(fitted(test_nonlinearity.ladder(shape))))
    state = found["the state bridge falls with depth"]
    assert state.status == FAILS and "does not fall at every step" in state.sentence


def test_frozen_by_hand():
    found = by_name(story_learned.still(test_frozen_recovery.frame()))
    assert {one.status for one in found.values()} == {HOLDS}
    clear = found["estimators find the gradient"]
    assert len(clear.points) == 6 * 3
    lead = {(p.label, p.kind): p for p in clear.points}["credit_deltaL", "Γ"]
    assert lead.mean == pytest.approx(0.084) and len(lead.runs) == 6
    weak = test_frozen_recovery.VALUES | {"credit_deltaL": (0.05, 0.04, 0.06)}
    found = by_name(story_learned.still(test_frozen_recovery.frame(weak)))
    clear = found["estimators find the gradient"]
    assert clear.status == FAILS and "not every estimator is .05 ahead" in clear.sentence
    assert "+0.044 (credit_deltaL)" in clear.sentence
    swapped = test_frozen_recovery.VALUES | {"state_bridge": (0.1, 0.1, 0.12)}
    found = by_name(story_learned.still(test_frozen_recovery.frame(swapped)))
    assert found["order: M4, state bridge, eT, deltaL"].status == FAILS


def test_online_by_hand():
    runs = test_online_scan.frame()
    found = by_name(story_online.moving(runs))
    s1 = found["no estimator clear of dfa in Γ (S1)"]
    assert s1.status == FAILS and "in 1 of 21 cells" in s1.sentence
    assert "chosen on test samples" in s1.sentence
    best = {point.label: point for point in s1.points}["credit_eT warm-up 0.2"]
    assert best.detail == "tgw 4" and best.mean == pytest.approx(0.09) and len(best.values) == 3
    assert len(best.runs) == 6  # dfa's of the same seeds with it
    assert found["the vector field is behind dfa"].status == HOLDS
    assert found["eT leads dfa after a long warm-up"].status == HOLDS
    stale = found["the field goes stale in an epoch"]
    # Γ is .1 lower at the first of three measured epochs
    now, later = (statistics.fmean((v - 0.1, v, v)) for v in (0.5, 0.3))
    assert stale.status == HOLDS
    assert stale.points[0].mean == pytest.approx((now - later) / now)
    pays = found["best direction, best accuracy"]
    assert pays.status == HOLDS and pays.points[0].mean == pytest.approx(0.38 - 0.28)
    assert "Warm-ups 0 and 0.05" not in s1.sentence  # 30 epochs: 0, 2 and 6


def test_online_claims_that_turn_round():
    near = {"state_bridge": (0.2, 0.1, 0.15, 0.36), "credit_eT": (0.14, 0.04, 0.1, 0.2)}
    values = test_online_scan.VALUES | near | {"vector_field": (0.9, 0.8, 0.9, 0.2)}
    runs = test_online_scan.frame(values)
    found = by_name(story_online.moving(runs))
    assert found["the vector field is behind dfa"].status == FAILS
    pays = found["best direction, best accuracy"]
    assert pays.status == FAILS and "direction is not all that counts" in pays.sentence
    assert pays.points[0].mean == pytest.approx(-0.16)
    low = test_online_scan.frame(dict.fromkeys(values, (0.1, 0.05, 0.1, 0.28)))
    found = by_name(story_online.moving(low[low["seed"] == 42]))
    for what in ("in Γ (S1)", "in ρ (S2)"):
        one = found[f"no estimator clear of dfa {what}"]
        assert one.status == HOLDS and "in none of 21 cells" in one.sentence
    gone = runs.copy()
    gone.loc[gone["rule"] == "vector_field", "status"] = "RUNNING"
    found = by_name(story_online.moving(gone))
    assert found["the vector field is behind dfa"].status == UNDECIDED
    assert found["best direction, best accuracy"].status == UNDECIDED


def test_warmups_that_round_to_the_same_epochs_are_named():
    runs = test_online_scan.frame().assign(epochs=10)
    one = story_online.moving(runs)[0]
    assert "Warm-ups 0 and 0.05 of 10 epochs are 0 epochs alike" in one.sentence


def test_bp_and_the_oracle_are_no_cells_of_the_scan():
    runs = test_online_scan.frame()
    extra = runs[runs["rule"] == "dfa"].head(1).assign(rule="oracle", run_id="o", spec_hash="o")
    found = story_online.moving(pd.concat([runs, extra], ignore_index=True))
    assert "of 21 cells" in found[0].sentence


def test_methods_by_hand():
    found = by_name(story_methods.methods(test_comparison.frame()))
    assert {one.status for one in found.values()} == {HOLDS}
    ahead = found["bp is far ahead at L=12"]
    assert [p.mean for p in ahead.points] == pytest.approx([0.2, 0.3, 0.35, 0.29])
    assert found["the state bridge is last"].points[0].mean == pytest.approx(-0.05)
    assert found["learned credit does not pay"].points[1].mean == pytest.approx(2.5)
    close = test_comparison.with_rule("credit_bridge", 0.59)
    found = by_name(story_methods.methods(close))
    assert {one.status for one in found.values()} == {FAILS, HOLDS}
    assert found["the state bridge is last"].status == HOLDS
    pays = found["learned credit does not pay"]
    assert pays.status == FAILS and pays.sentence.startswith("Not every learned rule")


def test_scale_by_hand():
    found = by_name(story_methods.scale(test_credit_scale.frame()))
    assert {one.status for one in found.values()} == {HOLDS}
    left = found["the lead is mostly the brake"]
    assert left.points[0].mean == pytest.approx(0.005 / 0.105) and left.seeds == "n = 3"
    kept = {key: test_credit_scale.HELD for key in test_credit_scale.EXPECTED if key[0] == "fa"}
    found = by_name(story_methods.scale(test_credit_scale.frame(test_credit_scale.EXPECTED | kept)))
    left = found["the lead is mostly the brake"]
    assert left.status == FAILS and "most of it is direction" in left.sentence
    assert found["fa's accuracy hangs on the brake"].status == FAILS
    level = dict.fromkeys(test_credit_scale.EXPECTED, test_credit_scale.DFA)
    found = by_name(story_methods.scale(test_credit_scale.frame(level)))
    assert found["fa leads dfa"].status == FAILS
    assert found["the lead is mostly the brake"].status == UNDECIDED


def test_numbers_lie_where_their_claims_say(chapters):
    """Drawn and judged are the same: a claim holds only if every mean is past its threshold."""
    seen = 0
    for one in (one for own in chapters for one in own.claims if one.status == HOLDS):
        for point in one.points:
            inside = one.limit.low <= point.mean <= one.limit.high
            assert inside is one.limit.inside, one.name
            seen += 1
    assert seen > 50


def test_missing_and_unfinished_experiments_are_named(chapters):
    gone = chapters[-1]
    assert (gone.kind, gone.status, gone.claims) == ("credit_scale", MISSING, ())
    table = story_tables.claims(chapters)
    row = table.iloc[-1]
    assert row["status"] == MISSING and "python -m entrypoints.credit_scale" in row["sentence"]
    assert "not there yet: credit_scale" in story_tables.counts(chapters)
    began = told("ladder", test_analysis.grid(LADDER).assign(status="RUNNING"))
    assert began.status == MISSING and (began.done, began.total) == (0, 11 * 3 - 6)
    shown = story_tables.experiments([began]).iloc[0]
    assert shown["runs"] == "0 of 27 finished" and MISSING in shown["settings"]


def test_one_experiment_that_cannot_be_read_does_not_stop_the_others():
    mixed = pd.concat([test_analysis.grid(LADDER), test_analysis.grid(LADDER, epochs=3)])
    bad = told("ladder", mixed)
    assert "differ in epochs" in bad.trouble and bad.claims == ()
    good = told("direction_quality", direction_runs(), 2)
    table = story_tables.claims([bad, good])
    assert table["status"].tolist() == [UNDECIDED, HOLDS, HOLDS, HOLDS]
    assert "cannot be told: ladder" in story_tables.counts([bad, good])
    FigureCanvasAgg(story_figure([bad, good], "title")).draw()


@pytest.mark.parametrize(
    ("kind", "runs", "settings"),
    [
        ("ladder", test_analysis.grid(LADDER), f"REDUCED: {FEW}"),
        (
            "ladder",
            test_analysis.grid(LADDER, epochs=20, train_samples=5000),
            f"REDUCED: {FEW}, 20 of 100 epochs, 5000 of 50000 samples",
        ),
        (
            "ladder",
            test_analysis.grid(LADDER).query("seed == 42"),
            f"REDUCED: {FEW}, 1 of 3 seeds",
        ),
        (
            "frozen_recovery",
            test_frozen_recovery.frame(ours={"epochs": 20}),
            f"{test_frozen_recovery.GONE}, 20 of 100 epochs, {test_frozen_recovery.UNITS}",
        ),
        ("online_scan", test_online_scan.frame(), test_online_scan.GONE),
        (
            "method_comparison",
            test_comparison.frame(seeds=(42,), epochs=20),
            "REDUCED: 20 of 100 epochs, 1 of 3 seeds",
        ),
        ("credit_scale", test_credit_scale.frame(epochs=12), "REDUCED: 12 of 100 epochs"),
        ("credit_scale", test_credit_scale.frame(), "published"),
        ("depth_scan", test_depth_scan.frame(), test_depth_scan.GONE),
        ("matched_controls", test_matched_controls.frame(), test_matched_controls.GONE),
        ("direction_quality", direction_runs(), "published"),
    ],
)
def test_reduced_settings_are_labelled(kind, runs, settings):
    own = told(kind, runs)
    assert own.settings == settings
    assert set(story_tables.claims([own])["settings"]) == {settings}
    if settings != "published":
        figure = story_figure([own], "title")
        assert any(settings in text.get_text() for text in figure.texts)


def test_settings_of_the_synthetic_ladder():
    runs = test_nonlinearity.ladder(train_samples=3072)
    own = told("nonlinearity_ladder", runs)
    assert own.settings == "REDUCED: without α=0.25, 0.5, without L=8, 12"
    small = told("nonlinearity_ladder", test_nonlinearity.ladder(train_samples=10000, epochs=8))
    assert "epochs=8 (reported: 80)" in small.settings
    assert "10000 samples for 3072" in small.settings


def test_unfinished_runs_are_counted():
    runs = test_analysis.grid(LADDER)
    runs.loc[runs.index[-1], "status"] = "RUNNING"
    assert told("ladder", runs).settings.endswith("; 26 of 27 runs finished")


def test_tables_link_the_runs(chapters):
    table = story_tables.numbers(chapters, ["ladder"], "http://host:1/")
    assert list(table.columns) == [
        *("claim", "asked for", "of", "quantity", "number", "n", "runs"),
    ]
    fa = table[table["claim"] == "1.2 fa uses depth"].iloc[0]
    assert (fa["of"], fa["number"], fa["n"]) == ("fa", "+5.0 ± 1.0 points", 3)
    assert fa["asked for"] == "above 2 points"
    assert fa["runs"].startswith("<details><summary>6 runs</summary>")
    run = chapters[0].claims[1].runs[0]
    assert f'href="http://host:1/#/experiments/7/runs/{run}">{run[:8]}</a>' in fa["runs"]
    parent = story_tables.experiments(chapters, "http://host:1")["parent"].iloc[0]
    assert parent.endswith('/#/experiments/7/runs/0123456789abcdef">01234567</a>')
    assert "<a" not in story_tables.experiments(chapters)["parent"].iloc[0]
    html = story_tables.styled(table).to_html()
    assert html.count("1.2 fa uses depth") == 1 and "details" in html
    assert html.count("above 2 points") == 2  # of two claims, each once
    assert (
        story_tables.COLORS[HOLDS] in story_tables.styled(story_tables.claims(chapters)).to_html()
    )
    assert story_tables.numbers(chapters, []).empty
    hostile = chapters[0]._replace(parent='"><script>')
    assert "<script" not in story_tables.links([hostile.parent], hostile, "http://h")


def test_a_count_of_claims(chapters):
    found = [one.status for own in chapters for one in own.claims]
    text = story_tables.counts(chapters)
    assert text.startswith(f"{found.count(HOLDS)} of {len(found)} claims hold, ")
    assert len(story_tables.claims(chapters)) == len(found) + 1


@pytest.mark.parametrize("width", [8.0, 3.5])
def test_figure_has_a_panel_per_claim(chapters, width, tmp_path):
    figure = story_figure(chapters, "When does credit work?", width)
    assert len(figure.axes) == sum(len(own.claims) for own in chapters)
    texts = [text.get_text() for text in figure.texts]
    assert any("not there yet: python -m entrypoints.credit_scale" in text for text in texts)
    assert texts.count(HOLDS) + texts.count(FAILS) + texts.count(UNDECIDED) == len(figure.axes)
    assert any("n = 3" in text for text in texts)
    height = figure.get_size_inches()[1]
    for axes in figure.axes:
        place = axes.get_position()
        assert 0 <= place.x0 < place.x1 <= 1 and 0 < place.y0 < place.y1 < 1
    path = tmp_path / "story.png"
    FigureCanvasAgg(figure)
    figure.savefig(path)
    assert matplotlib.image.imread(path).shape[0] == pytest.approx(200 * height, abs=1)


def test_the_shade_is_where_a_claim_holds():
    (panel,) = story_figure([told("ladder", test_analysis.grid(LADDER))], "t").axes[1:2]
    low, high = panel.get_xlim()
    (shade,) = [patch for patch in panel.patches if patch.get_zorder() == 0]
    assert (shade.get_x(), shade.get_x() + shade.get_width()) == pytest.approx((2.0, high))
    assert low < 2.0 < 5.0 < high
    with pytest.raises(CreditError, match="nothing to draw"):
        story_figure([story.chapter("ladder")], "t")
    assert isinstance(story_figure([told("ladder", test_analysis.grid(LADDER))], "t"), Figure)


def test_limits_in_words():
    points = Unit("points", 100, "+.1f", " points")
    assert Limit(low=0.02).text(points) == "above 2 points"
    assert Limit(high=0.0).text(points) == "below 0 points"
    assert Limit(-0.02, 0.02).text(points) == "within -2 … 2 points"
    assert Limit(-0.02, 0.02, inside=False).text(points) == "outside -2 … 2 points"
    assert Limit().text(points) == ""


def test_the_store_decides_which_parent_is_told(tracking_store):
    store = open_store()
    ids = []
    for finished in (2, 1, 0):  # the newest was interrupted
        parent = open_parent(store, "ladder", "ladder", {}, f"hash{finished}")
        for k in (0, 4)[: finished or 1]:
            spec = RunSpec(rule="bp", k=k, seed=40 + finished, credit_reduction="mean")
            run_id = open_child(store, parent, spec)
            store.client.log_metric(run_id, "accuracy/test", 0.3 + 0.1 * k, step=100)
            if finished:
                finish(store, run_id)
        finish(store, parent)
        ids.append(parent)
    open_parent(store, "online scan", "online_scan", {}, "empty")
    reader = connect(tracking_store)
    assert story.choose(reader, "ladder") == (
        ids[1],
        "reduced, cells missing, the newest; others: "
        f"{ids[0][:8]} (reduced, cells missing, 2 of 2 runs)",
    )
    chapters = story.tell(reader)
    assert [own.kind for own in chapters] == list(story.KINDS)
    assert chapters[0].parent == ids[1] and chapters[0].claims[0].status == UNDECIDED
    assert {own.status for own in chapters[1:]} == {MISSING}
    other = story.tell(reader, {"ladder": ids[0]})[0]
    assert other.parent == ids[0] and other.choice.startswith("chosen by id: reduced")
    assert other.claims[0].points[0].values == {42: pytest.approx(0.4)}
    with pytest.raises(CreditError, match="is no 'ladder' experiment"):
        story.tell(reader, {"ladder": "nonsense"})
    with pytest.raises(CreditError, match="'stairs' is not in the story"):
        story.tell(reader, {"stairs": ids[0]})
    with pytest.raises(CreditError, match="no 'credit_scale' experiment"):
        story.tell(reader, {"credit_scale": ids[0]})


def parent_of(store, preset: str, seeds: tuple[int, ...], finished: bool = True, **fields) -> str:
    """A parent of direction_quality: dfa without and with the penalty."""
    params = {"preset": preset, "seeds": ",".join(map(str, seeds))}
    sweep_hash = hashlib.sha256(f"{preset}{seeds}{fields}".encode()).hexdigest()[:12]
    parent = open_parent(store, preset, "direction_quality", params, sweep_hash)
    for seed in seeds:
        for penalty in (0.0, 0.01):
            given = {"penalty": penalty, "seed": seed, "credit_reduction": "sum", **fields}
            run_id = open_child(store, parent, RunSpec(**{"rule": "dfa", "k": 4, **given}))
            store.client.log_metric(run_id, "accuracy/test", 0.3, step=100)
            if finished or not penalty:
                finish(store, run_id)
    finish(store, parent)
    return parent


def test_published_parents_come_before_reduced_ones_and_these_before_quick_ones(tracking_store):
    store = open_store()

    def taken() -> tuple[str, str]:
        return story.choose(connect(tracking_store), "direction_quality")

    quick = parent_of(store, "quick", (42,), width=128, epochs=6)
    assert taken() == (quick, "quick")
    cells = parent_of(store, "published", (1,), finished=False, epochs=3)
    assert taken()[0] == cells and taken()[1].startswith("reduced, cells missing; others: ")
    small = parent_of(store, "published", (42,), epochs=5)  # published by name alone
    assert taken()[0] == small and taken()[1].startswith("reduced; others: ")
    newer = parent_of(store, "reduced", (42, 7, 8), epochs=4)
    assert taken()[0] == newer and taken()[1].startswith("reduced, the newest; others: ")
    cut = parent_of(store, "reduced", (42,), epochs=2)
    own = connect(tracking_store).runs(parent=cut)
    open_child(store, cut, RunSpec(rule="dfa", k=4, epochs=2, seed=9, credit_reduction="sum"))
    assert len(own) == 2 and taken()[0] == newer  # the newest has an unfinished run
    whole = parent_of(store, "published", (42,))
    assert taken()[0] == whole and taken()[1].startswith("published; others: ")
    later = parent_of(store, "quick", (42,), width=128, epochs=4)
    where, why = taken()
    assert where == whole and f"{later[:8]} (quick, 2 of 2 runs)" in why
    assert story.tell(connect(tracking_store))[1].choice == why
