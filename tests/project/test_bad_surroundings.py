"""Data, stores, runs and checkpoints that are missing or damaged: one line and no run."""

import shutil
from collections.abc import Callable

from safetensors import safe_open
from safetensors.torch import load_file, save_file

from credit.sweep.sweep import state_folder
from credit.tracking.store import open_store
from tests.project.invocations import (
    ABSENT,
    DIGITS,
    QUICK,
    REFUSES,
    TINY,
    URI,
    Case,
    Prepare,
    World,
    cases,
    env,
    file,
    refused,
    sql,
    table,
    tag,
)


def deleted_experiment(world: World) -> None:
    experiment = world.client.create_experiment("credit")
    world.client.delete_experiment(experiment)


def run_of_mlflow(world: World) -> None:
    """A run as `mlflow run -P lr=0.5` opens it, for a command that does not pass lr on."""
    run = world.client.create_run("0")
    world.client.log_param(run.info.run_id, "lr", "0.5")
    world.env["MLFLOW_RUN_ID"] = run.info.run_id


def empty_parent(world: World) -> None:
    tags = {"credit.schema": "1", "credit.kind": "ladder"}
    world.names["parent"] = world.client.create_run("0", tags=tags).info.run_id


def killed(world: World) -> None:
    world.client.set_terminated(world.names["run"], "KILLED")


def deleted(world: World) -> None:
    world.client.delete_run(world.names["run"])


def without_weights(world: World) -> None:
    shutil.rmtree(world.folder / "mlartifacts" / world.names["run"] / "artifacts" / "checkpoint")


def checkpoint(change: Callable[[dict], object]) -> Prepare:
    """The run as if it had been killed after its last epoch, with a damaged checkpoint."""

    def prepare(world: World) -> None:
        artifacts = world.folder / "mlartifacts" / world.names["run"] / "artifacts"
        saved = artifacts / "checkpoint" / "last.safetensors"
        path = state_folder(open_store()) / "stacks" / "x.safetensors"
        path.parent.mkdir(parents=True)
        with safe_open(saved, framework="pt") as whole:
            metadata = whole.metadata()
        del metadata["checksum"]  # else it is damaged, and no more is said
        tensors = load_file(saved)
        change({"tensors": tensors, "metadata": metadata})
        save_file(tensors, path, metadata)
        world.client.set_terminated(world.names["run"], "KILLED")
        world.names["checkpoint"] = str(path)

    return prepare


def narrower(saved: dict) -> None:
    name = "param/embed.bias"
    saved["tensors"][name] = saved["tensors"][name][:, :-1].contiguous()


def of_tomorrow(saved: dict) -> None:
    saved["metadata"]["schema"] = "999"


DATA = [
    *cases(
        {
            "train --dataset cifar": "'cifar' ... 'cifar10'",
            "train --dataset toy_lq": "dataset=toy_lq ... credit toy_lq",
            "frozen_init --dataset toy_lq": "dataset=toy_lq",
            f"train {DIGITS} --train_samples 1438": "train_samples=1438 ... 1437",
            f"frozen_recovery {QUICK} --train_samples 5000": "train_samples=5000 ... 1437",
            "train": "cifar10 ... {here}/data ... CREDIT_DATA ... --dataset digits",
            "method_comparison --dataset cifar100": "cifar100 ... {here}/data",
        }
    ),
    Case("ladder", "CREDIT_DATA={here}/absent", env("CREDIT_DATA", "{here}/absent")),
    Case("train", "CREDIT_DATA={here}/x", file("x", "", env("CREDIT_DATA", "{here}/x"))),
    Case(
        "depth_scan",
        "{here}/data/cifar-10-batches-py/data_batch_3 ... delete it",
        file("data/cifar-10-batches-py/data_batch_3", b"\x80\x02}q\x00"),
    ),
    Case(
        "train",
        "{here}/data/cifar-10-python.tar.gz ... delete it",
        file("data/cifar-10-python.tar.gz", b"\x1f\x8b half of it"),
    ),
    Case(
        "train --dataset fashion_mnist",
        "FashionMNIST/raw/train-labels-idx1-ubyte ... delete it",
        file("data/FashionMNIST/raw/train-labels-idx1-ubyte", b"\0\0\x08\x01"),
    ),
]

TRAIN = f"train {TINY}"
STORE = [
    Case(TRAIN, "{here}", env(URI, "sqlite:///{here}")),
    Case(
        "toy_lq --preset quick",
        "{here}/notes.db",
        file("notes.db", "no database " * 100, env(URI, "sqlite:///{here}/notes.db")),
    ),
    Case(
        "report",
        "sqlite:///{here}/mlflow.db",
        sql("UPDATE alembic_version SET version_num = 'ffff'"),
    ),
    Case(f"ladder {DIGITS}", REFUSES, env(URI, REFUSES)),
    Case("export", REFUSES, env(URI, REFUSES)),
    Case(TRAIN, "mysql://127.0.0.1/x", env(URI, "mysql://me:secret@127.0.0.1/x")),
    Case(TRAIN, "odd://x", env(URI, "odd://x")),
    Case(TRAIN, f"{URI}=sqlite", env(URI, "sqlite")),
    Case(TRAIN, "sqlite://", env(URI, "sqlite://")),
    Case(TRAIN, "{here}/x/y", file("x", "", env("CREDIT_STATE", "{here}/x/y"))),
    Case(TRAIN, "0123 ... MLFLOW_RUN_ID", env("MLFLOW_RUN_ID", "0123")),
    Case(TRAIN, "lr='0.001' ... lr='0.5'", run_of_mlflow),
    Case(TRAIN, "MLFLOW_EXPERIMENT_ID=77", env("MLFLOW_EXPERIMENT_ID", "77")),
    Case(f"matched_controls {QUICK}", "'credit' ... --experiment-id 1", deleted_experiment),
]

STARTED = f"{TRAIN} --start {{hash}}"
MINE = file("mine/thesis.txt", "all of it")
OLD = tag("run", "credit.schema", "0")
RECOVERED = "frozen_recovery --run_id {run}"
RUNS = [
    *cases(
        {
            "report": "'ladder'",
            f"audit --run_id {ABSENT}": f"'{ABSENT}'",
            f"report --parent {ABSENT}": f"'{ABSENT}'",
            f"remeasure --parent {ABSENT}": f"'{ABSENT}'",
            f"export --parent {ABSENT} --folder x": f"'{ABSENT}'",
            f"frozen_recovery --run_id {ABSENT}": f"'{ABSENT}'",
            f"{TRAIN} --start 0123456789abcdef": "start=0123456789abcdef",
            "import_results --folder {here}/absent": "{here}/absent/runs.json",
        }
    ),
    Case("report --parent {parent}", "{parent}", empty_parent),
    Case("report --parent {run}", "{run}", None, True),
    Case("export --kind train --folder {here}/mine", "{here}/mine", MINE, True),
    Case("export --kind train --folder {here}/x", "{here}/x", file("x", ""), True),
    Case("export --kind train --folder {here}/x/y", "{here}/x/y", file("x", ""), True),
    Case("import_results --folder x", "x/runs.json", file("x/runs.json", "{")),
    Case(
        "import_results --folder x",
        "x/runs.json ... '99' ... '1'",
        file("x/runs.json", '{"schema": "99", "runs": []}'),
    ),
    Case(
        "import_results --folder x",
        "x/metrics.parquet",
        file("x/runs.json", '{"schema": "1", "runs": []}'),
    ),
    Case(STARTED.replace("--width 8", "--width 16"), "width=16 ... {run} ... width=8", None, True),
    Case(f"{STARTED} --seed 7", "start={hash}", OLD, True),
    Case(f"{STARTED} --seed 7", "{run} ... checkpoint/weights.safetensors", without_weights, True),
    Case(f"{RECOVERED} --seeds 7", "seeds=7 ... run_id ... 42", None, True),
    Case(RECOVERED, "{run} ... schema 0 ... 1", OLD, True),
    Case(RECOVERED, "{run} ... KILLED", killed, True),
    Case(RECOVERED, "{run} ... deleted", deleted, True),
    Case("frozen_recovery --run_id {parent}", "{parent}", None, True),
]

CHECKPOINTS = [
    Case(TRAIN, f"{{checkpoint}} ... {named}delete it", checkpoint(change), True)
    for change, named in (
        (narrower, "param/embed.bias ... (7,) ... (8,) ... "),
        (of_tomorrow, "999 ... 1 ... "),
    )
]
CASES = [*DATA, *STORE, *RUNS, *CHECKPOINTS]


@table(CASES)
def test_bad_surroundings_are_one_line_a_status_and_no_run(case, world, forks):
    refused(case, world, forks)
