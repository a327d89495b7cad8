"""The examples do what their first lines say, on tiny inputs."""

import importlib

import mlflow
import pytest

import credit
from tests.project.documents import blocks

EXAMPLES = {
    "diagnose_resnet": ["--epochs", "1", "--samples", "64"],
    "diagnose_transformer": ["--steps", "4", "--every", "2"],
    "diagnose_training_step": ["--epochs", "1"],
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_trains_and_logs_its_diagnosis(name, tracking_store, capsys):
    importlib.import_module(f"examples.{name}").main(EXAMPLES[name])
    (run,) = mlflow.search_runs(search_all_experiments=True, output_format="list")
    assert run.info.status == "FINISHED"
    assert {"growth/max", "valid/reference", "grad_norm/h00"} <= set(run.data.metrics)
    assert "D1" in capsys.readouterr().out


def test_the_python_of_the_document_runs():
    two_lines, *others = blocks("docs/your_network.md", "python")
    names: dict = {"credit": credit}
    for block in (*others, two_lines):  # which need a model
        exec(block, names)
    assert names["diagnosis"].metrics["alignment/deep"] == pytest.approx(1, abs=1e-5)
