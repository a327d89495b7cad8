"""The final network of a run as an MLflow model, which its run and the UI's Models page show.

MLflow's own `log_model` asks for the history of every metric of the run, logs all of the last step
again and writes to the process-wide tracking URI; the same is said here with a client's few calls.
"""

import re
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import mlflow.pyfunc
import numpy as np
from mlflow.entities import LoggedModel, LoggedModelOutput, LoggedModelStatus, Metric, Run
from mlflow.models import Model, infer_signature

from credit import __version__
from credit.spec import SCHEMA, RunSpec
from credit.tracking.marks import SCHEMA_TAG, SPEC
from credit.tracking.store import Store

if TYPE_CHECKING:
    from credit.serving import Sample

LOADER = "credit.serving"
ACCURACY = "accuracy/test"
_NEEDED = ("mlflow", "numpy", "safetensors", "torch")
"""By the loader, beside this package, which is on no index; local builds count as released."""


def log_network(store: Store, run_id: str, spec: RunSpec, weights: Path, sample: "Sample") -> None:
    """Log the network in `weights.safetensors` as the run's model, which stays one if repeated."""
    client = store.client
    run = client.get_run(run_id)
    model = _found(store, run)
    if model is None:
        model = client.create_logged_model(
            run.info.experiment_id,
            name_of(spec),
            source_run_id=run_id,
            tags={SCHEMA_TAG: SCHEMA, SPEC: spec.spec_hash},
            params=spec.to_params(),
            model_type="classifier",
        )
    with tempfile.TemporaryDirectory() as folder:
        _write(Path(folder) / "model", model, spec, weights, sample)
        client.log_model_artifacts(model.model_id, f"{folder}/model")
    if values := client.get_metric_history(run_id, ACCURACY):
        last = max(values, key=lambda value: value.step)
        data = {"dataset_name": sample.name, "dataset_digest": sample.digest}
        # with its own time and step the run's value stays one; the model's is another table
        same = Metric(ACCURACY, last.value, last.timestamp, last.step, model.model_id, **data)
        client.log_batch(run_id, metrics=[same])
    client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
    linked = run.outputs.model_outputs if run.outputs else []
    if model.model_id not in {output.model_id for output in linked}:
        client.log_outputs(run_id, [LoggedModelOutput(model.model_id, spec.epochs)])


def name_of(spec: RunSpec) -> str:
    """Return the name of a run's model: the run's, without what MLflow refuses in one."""
    return re.sub(r"[/:.%\"']", "_", spec.name)


def has_network(store: Store, run_id: str) -> bool:
    """Return whether the run has its model, and all of it."""
    model = _found(store, store.client.get_run(run_id))
    return model is not None and model.status == LoggedModelStatus.READY


def _found(store: Store, run: Run) -> LoggedModel | None:
    """The model of a run, whether or not it is whole."""
    of_run = f"source_run_id = '{run.info.run_id}'"
    found = store.client.search_logged_models([run.info.experiment_id], of_run, max_results=1)
    return found[0] if found else None


def _write(folder: Path, model: LoggedModel, spec: RunSpec, weights: Path, sample: "Sample"):
    """The model's files, in a new folder."""
    probabilities = np.zeros((1, sample.classes), np.float32)
    answer = {"class": np.zeros(1, np.int64), "probabilities": probabilities}
    mlflow.pyfunc.save_model(
        str(folder),
        loader_module=LOADER,
        data_path=str(weights),
        mlflow_model=Model(
            artifact_path=model.artifact_location,
            run_id=model.source_run_id,
            model_uuid=model.model_id,
            model_id=model.model_id,
            signature=infer_signature(sample.images, answer),  # any number of images
            metadata={
                "run": spec.name,
                "dataset": sample.name,
                "package": f"credit {__version__}, which must be installed where this is loaded",
            },
        ),
        input_example=sample.images,
        pip_requirements=[f"{name}=={version(name).partition('+')[0]}" for name in _NEEDED],
    )
