"""Tables: numbers of cells, and the forms in which they are written."""

import math

import pandas as pd
import pytest

from credit.experiments.ladder import EXPERIMENT
from credit.lab import Factor, Frame, results, table
from credit.lab.quantity import ACCURACY, GROWTH
from tests.lab.made import made

A = ACCURACY.metric
FRAME = Frame(
    made(
        {"rule": "fa", A: [0.30, 0.32], "growth/max": [2.0, 3.0]},
        {"rule": "bp", A: [0.5, math.nan], "growth/max": 1.0},
        {"rule": "dfa", "status": "FAILED"},
    ),
    (Factor("rule"),),
)


def test_long_tables_have_mean_sd_and_valid_seeds():
    found = table.long_table(FRAME, (ACCURACY, GROWTH)).set_index("rule")
    assert found.loc["fa", ["accuracy", "accuracy_n", "growth", "n"]].tolist() == [0.31, 2, 3.0, 2]
    assert found.loc["fa", "accuracy_sd"] == pytest.approx(math.sqrt(2) * 0.01)
    assert found.loc["bp", "n"] == 1 and found.loc["dfa", "n"] == 0
    assert math.isnan(found.loc["dfa", "accuracy"])


def test_cells_as_people_read_them():
    found = table.shown_table(table.long_table(FRAME, (ACCURACY,)), FRAME, (ACCURACY,))
    assert found.set_index("rule")["test accuracy"].to_dict() == {
        "bp": ".500",
        "fa": ".310 ± .014",
        "dfa": "",
    }


def test_reported_values_stand_beside_their_configuration_only():
    def row(**changes):
        runs = made({"rule": "bp", "k": 4, A: 0.6}, {"rule": "bp", "k": 0, A: 0.39}, **changes)
        return results(EXPERIMENT, runs, None).table.set_index("k")

    assert row().loc[4, ["reported_accuracy", "reported_accuracy_sd"]].tolist() == [0.617, 0.002]
    assert row().loc[4, "difference_accuracy"] == pytest.approx(-0.017)
    assert row(epochs=50)["reported_accuracy"].isna().all()
    assert row(penalty=0.1)["reported_accuracy"].isna().all()


SMALL = pd.DataFrame({"rule": ["a|b", "a|b"], "Γ": [".5", "-.25"]})


def test_one_writer_of_markdown_terminal_and_html():
    assert table.markdown(SMALL).splitlines() == [
        "| rule | Γ |",
        "| --- | --- |",
        "| a\\|b | .5 |",
        "| a\\|b | -.25 |",
    ]
    assert table.terminal(SMALL).splitlines() == ["rule     Γ", "a|b     .5", "      -.25"]
    page = table.html_table(SMALL.assign(rule="<b>"))
    assert "<b>" not in page.replace("<tbody>", "") and page.count("<tr>") == 3
