"""Ten lines of Python: results as tables, comparisons by hand, trained networks loaded."""

import math

import mlflow
import pandas as pd
import pytest
import torch
from scipy import stats

import credit
from credit import api
from credit.data import load
from credit.data.batches import held_out
from credit.errors import CreditError
from credit.networks.plain import PlainResMLP
from credit.tracking.reader import connect
from examples.sign_symmetric import SignSymmetric
from tests.program.conftest import LADDER


def test_a_ladder_that_is_there_is_read_and_not_trained(store):
    before = connect().runs()["run_id"].tolist()
    ladder = credit.ladder(**LADDER)
    assert ladder.run_id == store["run_id"]
    assert connect().runs()["run_id"].tolist() == before
    known = [row["accuracy"] for row in store["table"]]
    assert ladder.table["accuracy"].tolist() == pytest.approx(known, abs=1e-14)
    assert ladder.verdicts["status"].tolist() == [v["status"] for v in store["verdicts"]]
    assert ladder.figure() is not None and len(ladder.runs) == 18
    assert set(ladder.history("accuracy/test")["step"]) == {1, 2}
    assert ladder.answer == store["answer"] and ladder.answer[:60] in str(ladder)
    assert ladder._repr_html_().count("<table>") == 2


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (0.001, "0.001"),
        (["bp", SignSymmetric], "bp,examples.sign_symmetric:SignSymmetric"),
        (SignSymmetric(), "examples.sign_symmetric:SignSymmetric"),
        ((42, 7), "42,7"),
        ("bp,fa", "bp,fa"),
    ],
)
def test_options_are_what_a_user_would_type(value, text):
    assert api.text_of("rules", value) == text


def test_a_rule_of_a_shell_is_refused(monkeypatch):
    monkeypatch.setattr(SignSymmetric, "__module__", "__main__")
    with pytest.raises(CreditError):
        api.text_of("rule", SignSymmetric)


def test_an_unknown_option_is_refused_before_any_store(tmp_path):
    with pytest.raises(CreditError):
        credit.ladder(rulez="bp")
    with pytest.raises(CreditError):
        credit.train(rule="bp", k=9)
    assert not (tmp_path / "mlflow.db").exists()


def test_two_rules_are_compared_seed_by_seed(store):
    found = credit.compare("fa", "dfa", parent=store["run_id"])
    runs = connect().runs(parent=store["run_id"])
    first = found.table.loc[found.table["quantity"] == found.quantities[0].symbol]
    assert first["cell"].tolist() == ["k=0", "k=2"] and set(first["n"]) == {3}
    for k, row in zip((0, 2), first.to_dict("records"), strict=True):
        own = runs.loc[runs["k"] == k].pivot(index="seed", columns="rule", values="accuracy/test")
        apart = own["dfa"] - own["fa"]
        assert row["difference"] == pytest.approx(apart.mean())
        assert row["a"] == pytest.approx(own["fa"].mean())
        half = stats.t.ppf(0.975, 2) * apart.std() / math.sqrt(3)
        assert row["high"] - row["low"] == pytest.approx(2 * half)
    assert "rule" not in set(found.settings["setting"])


def test_two_sweeps_are_compared_by_their_settings(store):
    other = credit.ladder(**{**LADDER, "lr": 0.0, "seeds": [42, 7]})
    found = credit.compare(store["run_id"], other)
    lr = found.settings.set_index("setting").loc["lr"]
    assert (lr["a"], lr["b"]) == ("0.001", "0.0") and set(found.table["n"]) == {2}
    assert found.table["low"].isna().all()  # of two seeds no interval is given
    ids = [store["run_id"], other.run_id]
    accuracy = [connect().runs(parent=i).query("rule == 'bp' and k == 2") for i in ids]
    both = accuracy[0].merge(accuracy[1], on="seed")
    apart = both["accuracy/test_y"] - both["accuracy/test_x"]
    row = found.table.query("cell == 'bp k=2'").iloc[0]
    assert row["difference"] == pytest.approx(apart.mean())


def test_what_has_nothing_in_common_is_refused(store):
    for pair in (("fa", "pepita"), ("fa", "0" * 32), (store["run_id"], "f" * 32)):
        with pytest.raises(CreditError):
            credit.compare(*pair)


def test_a_comparison_is_published_on_a_run_of_its_own(store, credit):
    words = ("compare", "fa", "dfa", "--parent", store["run_id"])
    printed = credit(*words)
    run_id = printed.split("run     ")[1].split()[0]
    reader = connect()
    table = pd.read_csv(reader.artifact(run_id, "table.csv"))
    assert set(table["n"]) == {3}
    for name in ("figure.png", "figure.svg", "verdicts.csv", "settings.csv", "table.md"):
        assert reader.artifact(run_id, name).stat().st_size > 0
    assert reader.run(run_id).info.status == "FINISHED"
    assert credit(*words).count(run_id) == 2  # figure and run: the same again


def test_a_comparison_does_not_take_the_place_of_one_of_another_sweep(store, credit):
    other = api.ladder(**{**LADDER, "ks": [2], "seeds": [42]})
    first, second = (
        credit("compare", "fa", "dfa", "--parent", run_id).split("run     ")[1].split()[0]
        for run_id in (store["run_id"], other.run_id)
    )
    tables = [pd.read_csv(connect().artifact(run_id, "table.csv")) for run_id in (first, second)]
    assert [len(table) for table in tables] == [2, 1]


def accuracy_of(network: torch.nn.Module, *form: int) -> float:
    x, y = held_out(load("digits"), torch.float32)
    with torch.no_grad():
        return float((network(x.reshape(-1, *form)).argmax(-1) == y).double().mean())


def test_a_loaded_network_is_the_one_that_was_tested(store):
    runs = connect().runs(parent=store["run_id"])
    x, _ = held_out(load("digits"), torch.float32)
    for run_id, accuracy in zip(runs["run_id"][:3], runs["accuracy/test"][:3], strict=True):
        network = credit.load(run_id)
        assert isinstance(network, PlainResMLP) and not network.training
        assert accuracy_of(network, 64) == pytest.approx(accuracy)
        images = load("digits").test_images.numpy()
        (logged,) = mlflow.get_run(run_id).outputs.model_outputs
        known = mlflow.pyfunc.load_model(f"models:/{logged.model_id}").predict(images)["class"]
        assert (known == network(x).argmax(-1).numpy()).all()


def test_a_loaded_network_can_be_diagnosed(store):
    run_id = connect().runs(parent=store["run_id"])["run_id"][0]
    x, y = held_out(load("digits"), torch.float32, 32)
    layers = ["embed", "blocks.0", "blocks.1"]
    found = credit.diagnose(credit.load(run_id), x, y, layers=layers, credit="dfa")
    assert list(found.layers) == layers


FACTORY = """
import torch
from torch import nn
class Fixed(nn.Module):
    def __init__(self, units):
        super().__init__()
        self.linear = nn.Linear(64, units)
        self.register_buffer("mix", torch.randn(units, units))
    def forward(self, x):
        return self.linear(x.flatten(1)) @ self.mix
def factory(image, classes, units=8):
    net = nn.Module()
    net.embed, net.head = Fixed(units), nn.Linear(units, classes)
    net.blocks = nn.ModuleList([nn.Sequential(nn.Linear(units, units), nn.Tanh())])
    return net
"""


def trained(network: str, **more) -> dict:
    run = credit.train(rule="bp", network=network, dataset="digits", width=8, device="cpu", **more)
    (row,) = run.runs.to_dict("records")
    return row


def test_a_module_is_loaded_with_the_buffers_it_was_trained_with(
    tmp_path, monkeypatch, tracking_store
):
    (tmp_path / "mixing.py").write_text(FACTORY)
    monkeypatch.syspath_prepend(tmp_path)
    network = "mixing:factory"
    row = trained(network, depth=1, k=1, epochs=3)
    own = accuracy_of(credit.load(row["run_id"], trust=[network]), 1, 8, 8)
    assert own == pytest.approx(row["accuracy/test"], abs=0.003)
    import mixing  # pyright: ignore[reportMissingImports]

    monkeypatch.setattr(mixing.factory, "__defaults__", (4,))  # the code has changed since
    with pytest.raises(CreditError):
        credit.load(row["run_id"], trust=[network])


@pytest.mark.parametrize("network", ["mlp", "small_cnn"])
def test_a_module_is_loaded_with_its_weights(network, tracking_store):
    row = trained(network, depth=2, k=2, epochs=1)
    own = accuracy_of(credit.load(row["run_id"]), 1, 8, 8)
    assert own == pytest.approx(row["accuracy/test"], abs=0.003)
