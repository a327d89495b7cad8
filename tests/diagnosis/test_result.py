"""A diagnosis as table, text, page, figure and tracked metrics."""

import mlflow
import pytest
from mlflow import MlflowClient

from credit import Diagnosis, diagnose
from credit.errors import CreditError
from tests.diagnosis.made import QUICK, Mlp, batch, exact, seeded


@pytest.fixture(scope="module")
def network() -> Diagnosis:
    return diagnose(seeded(Mlp), *batch(), options=QUICK)


@pytest.fixture(scope="module")
def audited() -> Diagnosis:
    return diagnose(seeded(Mlp), *batch(), credit=exact, options=QUICK)


def test_the_frame_has_a_row_per_layer_and_the_contracts_columns(audited, network):
    frame = audited.frame
    assert list(frame["name"]) == audited.layers and list(frame["layer"]) == [0, 1, 2, 3]
    assert list(frame.columns) == list(network.frame.columns)
    names = {"hidden_norm", "grad_norm", "credit_norm", "growth", "alignment_mean", "copy", "rho"}
    names |= {f"{n}_{c}" for n in ("alignment", "rho", "nudge") for c in ("g", "neg_g", "random")}
    assert names <= set(frame.columns)
    assert network.frame[["rho", "nudge", "alignment_mean"]].isna().all(axis=None)


def test_it_is_logged_to_the_active_run_at_a_step(tracking_store, audited):
    with pytest.raises(CreditError):
        audited.log(step=1)
    with mlflow.start_run() as run:
        audited.log(step=3)
        audited.log(step=7)
    client = MlflowClient(tracking_store)
    logged = client.get_run(run.info.run_id)
    assert logged.data.metrics == pytest.approx(audited.metrics)
    history = client.get_metric_history(run.info.run_id, "alignment/h02")
    assert [point.step for point in history] == [3, 7]
    assert logged.data.tags["credit.layers"] == ",".join(audited.layers)


def test_text_and_page_have_every_layer_and_verdict(audited, network):
    for one in (audited, network):
        for shown in (str(one), one._repr_html_()):
            for word in (*one.layers, "D1", "D2", "direction"):
                assert word in shown
    assert audited._repr_html_().count("<tr") == 1 + 4 + 3


def test_figures_are_drawn(audited, network, tmp_path):
    lines = []
    for one in (audited, network):
        figure = one.figure()
        figure.savefig(tmp_path / "figure.png")
        lines.append(sum(len(axes.get_legend_handles_labels()[0]) for axes in figure.axes))
    assert lines[0] == lines[1] + 4  # the norm of the credit, Γ, ρ, nudge


def test_a_verdict_by_name(audited):
    d1 = audited.verdict("D1")
    assert (d1.status, d1.threshold) == ("pass", 50.0)
    assert d1.value == audited.metrics["growth/max"]
    assert audited.verdict("direction").value == pytest.approx(1)
    assert "\n" not in d1.reason
    with pytest.raises(CreditError, match="D9"):
        audited.verdict("D9")


def test_one_layer_has_no_growth():
    got = diagnose(seeded(Mlp), *batch(), credit=exact, layers=["embed"], options=QUICK)
    assert [v.status for v in got.verdicts] == ["undefined", "pass", "pass"]
    assert "growth/max" not in got.metrics and "alignment/deep" not in got.metrics
