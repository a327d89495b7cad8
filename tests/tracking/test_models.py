"""Final networks as MLflow models: what they predict, what they hold, and what they refuse."""

import json
from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.exceptions import MlflowException
from mlflow.models import Model
from safetensors.torch import load_file, save_file

from credit import serving
from credit.data import load
from credit.errors import CreditError
from credit.finished.remeasuring import remeasure
from credit.serving import Classifier, sample_of
from credit.spec import RunSpec
from credit.sweep import sweep
from credit.tracking import sending
from credit.tracking.reader import connect
from credit.tracking.store import open_store
from credit.tracking.writer import has_network, log_network
from credit.training import checkpoint
from tests.commands import ROOT, python
from tests.sweeps import BASE

pytestmark = pytest.mark.usefixtures("tracking_store")

KINDS = (
    {"rule": "bp", "k": 2},
    {"rule": "dfa", "k": 0},
    {"rule": "credit_bridge", "k": 2, "estimator_width": 8},
    {"rule": "bp", "k": 2, "activation": "phi", "alpha": 0.5, "terminal_norm": False},
    {"rule": "fa", "k": 1, "precision": "fp64"},
)
"""Networks that differ in what their files hold."""

MODEL_FILES = {"MLmodel", "conda.yaml", "data", "input_example.json", "python_env.yaml"}
MODEL_FILES |= {"requirements.txt", "serving_input_example.json"}

FRESH = """
import json, sys
import mlflow
from credit.data import load

found = {}
for run_id in sys.argv[2:]:
    (logged,) = mlflow.get_run(run_id).outputs.model_outputs
    model = mlflow.pyfunc.load_model(f"models:/{logged.model_id}")
    data = load(sys.argv[1])
    predicted = model.predict(data.test_images.numpy())
    found[run_id] = float((predicted["class"] == data.test_labels.numpy()).mean())
print(json.dumps(found))
"""


def trained(*kinds: dict, **changes) -> sweep.Outcome:
    specs = [RunSpec(**{**BASE, "epochs": 2, **changes, **kind}) for kind in kinds or KINDS[:1]]
    return sweep.run(sweep.Sweep("ladder", "models", specs), open_store())


def models() -> list:
    """All that the store has, deleted ones aside."""
    store = open_store()
    return store.client.search_logged_models([store.experiment_id])


def assert_one_whole_model_each(outcome: sweep.Outcome) -> None:
    """Nothing lost, nothing twice: a model for every run, linked once, with all its files."""
    client, found = MlflowClient(), models()
    assert sorted(m.source_run_id for m in found) == sorted(outcome.run_ids.values())
    for model in found:
        assert model.status == "READY"
        (output,) = client.get_run(model.source_run_id).outputs.model_outputs
        assert output.model_id == model.model_id
        files = {file.path for file in client.list_logged_model_artifacts(model.model_id)}
        assert files == MODEL_FILES


def uri(run_id: str) -> str:
    (logged,) = MlflowClient().get_run(run_id).outputs.model_outputs
    return f"models:/{logged.model_id}"


def folder_of(run_id: str, target: Path) -> Path:
    """A model's own folder, copied."""
    target.mkdir()
    return Path(download_artifacts(uri(run_id), dst_path=target))


def in_fresh_process(dataset: str, run_ids: list[str], cwd: Path) -> dict[str, float]:
    """Test accuracies that models have where nothing else of this project is around."""
    cwd.mkdir()
    done = python("-c", FRESH, dataset, *run_ids, cwd=cwd, PYTHONPATH=str(ROOT))
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_a_fresh_process_elsewhere_finds_the_logged_accuracy_exactly(tmp_path):
    outcome = trained(*KINDS)
    assert_one_whole_model_each(outcome)
    runs = connect().runs(parent=outcome.parent_id).set_index("run_id")
    logged = runs["accuracy/test"].to_dict()
    assert len(set(logged.values())) > 2
    assert in_fresh_process("digits", list(logged), tmp_path / "elsewhere") == logged
    for model in models():
        (metric,) = model.metrics
        assert (metric.key, metric.value) == ("accuracy/test", logged[model.source_run_id])
        assert metric.dataset_name == "digits" and metric.step == 2
        assert model.name == connect().run(model.source_run_id).info.run_name.replace(".", "_")
        assert model.params == connect().run(model.source_run_id).data.params
    history = connect().history(logged)
    assert not history.duplicated(["run_id", "key", "step"]).any()


def test_vectors_are_served_like_images(tmp_path):
    outcome = trained(dataset="teacher")
    (run_id,) = outcome.run_ids.values()
    model = mlflow.pyfunc.load_model(str(folder_of(run_id, tmp_path / "copy")))
    data = load("teacher")
    assert model.metadata.signature.inputs.inputs[0].shape == (-1, 1, 1, 24)
    found = model.predict(data.test_images.numpy())["class"] == data.test_labels.numpy()
    (row,) = connect().runs().to_dict("records")
    assert found.mean() == row["accuracy/test"]


def test_what_a_model_holds_and_answers(tmp_path):
    outcome = trained()
    ((key, run_id),) = outcome.run_ids.items()
    folder = folder_of(run_id, tmp_path / "copy")
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert not [path for path in files if path.suffix in (".pkl", ".pickle", ".py", ".pt")]
    saved = connect().artifact(run_id, "checkpoint/weights.safetensors")
    assert (folder / "data" / saved.name).read_bytes() == saved.read_bytes()
    info = Model.load(folder)
    flavor = info.flavors["python_function"]
    assert list(info.flavors) == ["python_function"] and flavor["loader_module"] == "credit.serving"
    assert not flavor["code"] and info.run_id == run_id
    assert "torch==" in (folder / "requirements.txt").read_text()
    data, model = load("digits"), mlflow.pyfunc.load_model(str(folder))
    assert np.array_equal(model.input_example, data.test_images[:2].numpy())
    answer = model.predict(model.input_example)
    assert answer["class"].dtype == np.int64 and answer["class"].shape == (2,)
    assert answer["probabilities"].dtype == np.float32
    assert answer["probabilities"].shape == (2, 10)
    np.testing.assert_allclose(answer["probabilities"].sum(1), 1, rtol=1e-6)
    for schema, value in zip(info.signature.outputs.inputs, answer.values(), strict=True):
        assert schema.type == value.dtype and len(schema.shape) == value.ndim
    assert [schema.name for schema in info.signature.outputs.inputs] == list(answer)
    empty = model.predict(data.test_images[:0].numpy())
    assert empty["class"].shape == (0,) and empty["probabilities"].shape == (0, 10)
    (tag,) = {m.tags["credit.spec_hash"] for m in models()}
    assert tag == key
    for wrong in (np.zeros((1, 1, 8, 8), np.float32), np.zeros((1, 1, 9, 8), np.uint8)):
        with pytest.raises(MlflowException, match=r"type|[Ss]hape"):
            model.predict(wrong)
        with pytest.raises(CreditError, match=r"pass raw pixels|this network takes 64"):
            Classifier(saved).predict(wrong)


def spoiled(path: Path, how: str) -> None:
    """Make a run's weights something else."""
    tensors = {name: tensor.clone() for name, tensor in load_file(path).items()}  # else mapped
    with checkpoint.safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    del metadata["checksum"]  # else it is damaged, and no more is said
    match how:
        case "pickle":
            return torch.save(tensors, path)
        case "foreign":
            metadata = {}
        case "other schema":
            metadata["schema"] = "0"
        case "missing":
            del tensors["param/blocks.1.fc2.bias"]
        case "shape":
            tensors["param/blocks.1.fc2.weight"] = torch.zeros(3, 5)
        case "scalar":
            tensors["param/embed.weight"] = torch.tensor(0.0)
        case "no images":
            metadata["specs"] = metadata["specs"].replace("digits", "toy_lq")
    save_file(tensors, path, metadata)


def test_a_file_that_is_no_network_of_ours_is_refused(tmp_path):
    (run_id,) = trained().run_ids.values()
    ways = {
        "pickle": "not a readable checkpoint",
        "foreign": "not a readable checkpoint",
        "other schema": "schema 0",
        "missing": r"blocks.1.fc2.bias is missing",
        "shape": "do not fit each other",
        "scalar": "do not fit each other",
        "no images": "takes no images",
    }
    for number, (how, message) in enumerate(ways.items()):
        folder = folder_of(run_id, tmp_path / str(number))
        spoiled(folder / "data" / "weights.safetensors", how)
        with pytest.raises(CreditError, match=message):
            mlflow.pyfunc.load_model(str(folder))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_run_cut_off_between_its_model_and_its_end_has_one_model(monkeypatch):
    def dies(*_: object) -> None:
        raise SystemExit  # of the thread that sends: silent, like a kill

    with monkeypatch.context() as cut:
        cut.setattr(sending, "finish", dies)
        with pytest.raises(CreditError, match="are not sent"):
            trained(*KINDS[:2])
    before = {model.model_id for model in models()}
    assert before and set(connect().runs()["status"]) == {"RUNNING"}
    outcome = trained(*KINDS[:2])
    assert set(connect().runs()["status"]) == {"FINISHED"}
    assert before <= {model.model_id for model in models()}
    assert_one_whole_model_each(outcome)


def test_a_model_without_its_files_is_completed():
    (run_id,) = trained().run_ids.values()
    store, client = open_store(), MlflowClient()
    (model,) = models()
    client.delete_logged_model(model.model_id)
    assert not has_network(store, run_id)
    weights = connect().artifact(run_id, "checkpoint/weights.safetensors")
    spec, sample = checkpoint.read_header(weights).specs[0], sample_of(load("digits"))
    with pytest.raises(OSError, match="nowhere"):
        log_network(store, run_id, spec, weights.with_name("nowhere"), sample)
    (half,) = models()
    assert half.status == "PENDING" and not has_network(store, run_id)
    for _ in range(2):
        log_network(store, run_id, spec, weights, sample)
        (whole,) = models()
        assert whole.model_id == half.model_id and whole.status == "READY"
    linked = [output.model_id for output in client.get_run(run_id).outputs.model_outputs]
    assert sorted(linked) == sorted([model.model_id, half.model_id])


def test_runs_of_before_get_their_models_when_they_are_measured_again():
    outcome, client = trained(*KINDS[:2]), MlflowClient()
    older = {model.source_run_id: model for model in models()}
    for model in older.values():
        client.delete_logged_model(model.model_id)
    lines = list(remeasure(open_store(), connect(), outcome.parent_id, ["scale"]))
    assert len(lines) == 2 and all(line.endswith(": 0 metrics, model") for line in lines)
    for model in models():
        old = older[model.source_run_id]
        assert model.model_id != old.model_id and model.status == "READY"
        assert (model.tags, model.params) == (old.tags, old.params)
    lines = list(remeasure(open_store(), connect(), outcome.parent_id, ["scale"]))
    assert all(line.endswith(": 0 metrics") for line in lines)


@pytest.mark.slow
def test_models_over_http_with_the_server_s_own_artifacts(server, monkeypatch, tmp_path):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    outcome = trained(*KINDS[:2])
    assert_one_whole_model_each(outcome)
    logged = connect().runs().set_index("run_id")["accuracy/test"].to_dict()
    assert in_fresh_process("digits", list(logged), tmp_path / "elsewhere") == logged


def test_loading_imports_no_tracking_of_ours():
    """The loader needs the network, its file and the dataset's facts: no store, no analysis."""
    done = python("-c", "import sys; import credit.serving; print(*sorted(sys.modules))")
    loaded = set(done.stdout.split())
    assert serving.__name__ in loaded
    assert not [name for name in loaded if name.startswith(("mlflow", "credit.tracking"))]
