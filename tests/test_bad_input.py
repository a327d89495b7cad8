"""Bad input, as a user meets it: one line that names value and remedy, a status, and no run.

A table of invocations. Each runs in a fork that has everything imported (`tests/forking.py`), some
of them in a process of their own as well.
"""

import os
import shlex
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import pytest
from mlflow import MlflowClient
from safetensors.torch import load_file, save_file

from credit.sweep.sweep import state_folder
from credit.tracking.store import open_store
from tests.forking import ROOT, Done, Forks, real

TINY = "--dataset digits --device cpu --width 8 --depth 2 --k 2 --epochs 1 --train_samples 64 "
TINY += "--measure_samples 16 --directions 2"
ABSENT = "0" * 32
REFUSES = "http://127.0.0.1:9"
"""Nothing listens there, and the answer comes at once."""


# ------------------------------------------------------------------ what a case finds


@dataclass
class World:
    """The surroundings of one invocation: its folder, environment, and names for its words."""

    folder: Path
    env: dict[str, str]
    names: dict[str, str] = field(default_factory=dict)

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(self.env["MLFLOW_TRACKING_URI"])

    def file(self, name: str, content: str | bytes) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path


Prepare = Callable[[World], object]


class Case(NamedTuple):
    script: str
    words: str
    says: str
    """Of the line; `...` stands for anything."""
    prepare: Prepare | None = None
    trained: bool = False
    """Whether the store holds a finished run of `train` with the options TINY."""


def env(name: str, value: str) -> Prepare:
    """An environment variable; {here} in its value is the case's folder."""

    def prepare(world: World) -> None:
        world.env[name] = value.format(here=world.folder)

    return prepare


def file(name: str, content: str | bytes, *more: Prepare) -> Prepare:
    """A file in the case's folder."""

    def prepare(world: World) -> None:
        world.file(name, content)
        for one in more:
            one(world)

    return prepare


def folder(name: str) -> Prepare:
    return lambda world: (world.folder / name).mkdir(parents=True)


def sql(*statements: str) -> Prepare:
    """Changes in the tracking database that no client makes."""

    def prepare(world: World) -> None:
        with closing(sqlite3.connect(world.folder / "mlflow.db")) as database:
            for statement in statements:
                database.execute(statement)
            database.commit()

    return prepare


def tag(run: str, name: str, value: str) -> Prepare:
    return lambda world: world.client.set_tag(world.names[run], name, value)


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


def without_weights(world: World) -> None:
    shutil.rmtree(world.folder / "mlartifacts" / world.names["run"] / "artifacts" / "checkpoint")


def checkpoint(change: Callable[[dict], object] | bytes) -> Prepare:
    """The run as if it had been killed after its last epoch, with a damaged checkpoint."""

    def prepare(world: World) -> None:
        artifacts = world.folder / "mlartifacts" / world.names["run"] / "artifacts"
        saved = artifacts / "checkpoint" / "last.safetensors"
        path = state_folder(open_store()) / "stacks" / "x.safetensors"
        path.parent.mkdir(parents=True)
        if isinstance(change, bytes):
            path.write_bytes(change)
        else:
            from safetensors import safe_open

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


def shapeless(saved: dict) -> None:
    del saved["tensors"]["param/embed.bias"]


def of_tomorrow(saved: dict) -> None:
    saved["metadata"]["schema"] = "999"


# ------------------------------------------------------------------ the table

GRAMMAR = "every option is --name value, see --help"
ONCE = "name each once"
ITEM = "has an empty item: name at least one, with a comma between two"
WHOLE = "is not a whole number: pass one, such as 4"
NUMBER = "is not a number: pass one, such as 0.01"
FINITE = "is not finite: pass a finite number"
ALL_RULES = "choose from bp, credit_bridge, dfa, fa, oracle, state_bridge, vector_field"
DIGITS = "--dataset digits"
QUICK = "--preset quick --dataset digits"
MEMORY = "... GB are free on cpu (80% of that is used): lower one of these, or use another device"
MEND = "mend it until python -c"
RUN_IDS = "list the ids with connect().runs()"

COMMAND_LINE = [
    Case("train", "--bogus 1", "unknown option 'bogus': --help lists all"),
    Case("ladder", "--rulez bp", "unknown option 'rulez': did you mean 'rules'?"),
    Case("ladder", f"{QUICK} --k 2", "unknown option 'k': did you mean 'ks'?"),
    Case("toy_lq", "--dataset digits", "unknown option 'dataset': --help lists all"),
    Case("toy_lq", "--start none", "unknown option 'start': --help lists all"),
    Case("frozen_recovery", "--width 8", "unknown option 'width': --help lists all"),
    Case("depth_scan", "--depth 4", "unknown option 'depth': did you mean 'depths'?"),
    Case("train", "--k", f"--k has no value: {GRAMMAR}"),
    Case("ladder", "--rules --ks 0", f"--rules has no value: {GRAMMAR}"),
    Case("train", "k=3", f"unexpected argument 'k=3': {GRAMMAR}"),
    Case("train", "-k 3", f"unexpected argument '-k': {GRAMMAR}"),
    Case("train", "--k 1 --k=2", "--k is given twice: give each option once"),
]

VALUES = [
    Case("train", "--rule nosuch", f"unknown rule 'nosuch': {ALL_RULES}"),
    Case("train", "--rule bpp", f"unknown rule 'bpp': did you mean 'bp'? {ALL_RULES}"),
    Case(
        "train",
        "--rule no.such:Rule",
        "cannot load rule 'no.such:Rule': No module named 'no'; ... mend it until python -c "
        '"from no.such import Rule; Rule()" works',
    ),
    Case("train", "--rule json:loads", "'json:loads' is not a rule: it must subclass credit.rules"),
    Case(
        "train",
        "--rule torn:Rule",
        f"cannot load rule 'torn:Rule': ... {MEND}",
        file("torn.py", "def"),
    ),
    Case(
        "train",
        "--rule loud:Rule",
        f"cannot load rule 'loud:Rule': first second; ... {MEND}",
        file("loud.py", "raise ValueError('first\\nsecond')"),
    ),
    Case(
        "train",
        "--rule exits:Rule",
        f"cannot load rule 'exits:Rule': SystemExit; ... {MEND}",
        file("exits.py", "raise SystemExit"),
    ),
    Case(
        "ladder",
        f"{QUICK} --rules bp,made:Unmade",
        "cannot load rule 'made:Unmade': ... missing 1 required positional argument: 'how'; ... "
        'mend it until python -c "from made import Unmade; Unmade()" works',
        file(
            "made.py",
            "from credit.rules import Rule\n"
            "class Unmade(Rule):\n"
            "    def __init__(self, how):\n"
            "        self.how = how\n",
        ),
    ),
    Case("train", "--k 5", "k=5 exceeds depth=4: ... pass k between 0 and 4"),
    Case("train", "--k -1", "k=-1 is too small: pass at least 0"),
    Case("train", "--k 1.5", f"k='1.5' {WHOLE}"),
    Case("train", "--k two", f"k='two' {WHOLE}"),
    Case("train", "--k ''", f"k='' {WHOLE}"),
    Case("train", "--seed -1", "seed=-1 is too small: pass at least 0"),
    Case("train", "--width 0", "width=0 is too small: pass at least 1"),
    Case("train", "--depth 2000", "depth=2000 is too large: pass at most 1000"),
    Case("train", "--epochs 0", "epochs=0 is too small: pass at least 1"),
    Case("train", "--lr nan", f"lr=nan {FINITE}"),
    Case("train", "--lr -inf", f"lr=-inf {FINITE}"),
    Case("train", "--lr 1e999", f"lr=1e999 {FINITE}"),
    Case("train", "--lr fast", f"lr='fast' {NUMBER}"),
    Case("train", "--lr -1", "lr=-1.0 is too small: pass at least 0"),
    Case("train", "--activation phi --alpha 2", "alpha=2.0 is too large: pass at most 1"),
    Case("train", "--augment yes", "augment='yes' is not true or false: pass one of these"),
    Case("train", "--start ''", "start='' is not a name: pass one, or leave it out"),
    Case("train", "--code et", "unknown code 'et': choose from eT, deltaL, eT_hL, deltaL_hL"),
    Case("train", "--precision fp16", "unknown precision 'fp16': ... choose from fp32, tf32, bf16"),
    Case("train", "--precision tf32", "precision=tf32 is a GPU's: pass fp32 or bf16, or device="),
    Case("train", "--device gpu", "device='gpu' is not one of auto, cpu, cuda, cuda:N: pass one"),
    Case("train", "--device meta", "device='meta' is not one of auto, cpu, cuda, cuda:N: pass one"),
    Case("train", "--device cuda:99", "device='cuda:99' is not available: pass cpu"),
    Case("train", "--rule vector_field --precision bf16", "precision=bf16 ... pass fp32 or fp64"),
    Case("train", "--rule state_bridge --batch_size 3", "batch_size=3 is below depth=4: ... pass"),
    Case(
        "train",
        "--rule credit_bridge --credit_reduction mean",
        "credit_reduction=mean does not suit credit_bridge: ... pass published",
    ),
    Case(
        "train",
        "--rule state_bridge --estimator_depth 100000000",
        "estimator_depth=100000000 is too large: pass at most 1000",
    ),
]

GRIDS = [
    Case("ladder", "--preset quik", "unknown preset 'quik': did you mean 'quick'? choose from"),
    Case("ladder", f"{QUICK} --ks 0,9", "k=9 exceeds depth=4: ... pass k between 0 and 4"),
    Case("ladder", f"{QUICK} --ks ''", f"ks='' {ITEM}"),
    Case("ladder", f"{QUICK} --rules bp,,fa", f"rules='bp,,fa' {ITEM}"),
    Case("ladder", f"{QUICK} --rules bp,BP", f"unknown rule 'BP': {ALL_RULES}"),
    Case("ladder", f"{QUICK} --seeds 42,4.2", f"seeds='4.2' {WHOLE}"),
    Case("ladder", f"{QUICK} --seeds 42,042", f"seeds='42,042' names a number twice: {ONCE}"),
    Case("direction_quality", f"{QUICK} --penalties 0,nan", f"penalties=nan {FINITE}"),
    Case("direction_quality", f"{QUICK} --penalties -1,0", "penalties=-1.0 is too small: pass at"),
    Case("direction_quality", f"{QUICK} --penalties 0,0.0", f"penalties='0,0.0' ... twice: {ONCE}"),
    Case("direction_quality", f"{QUICK} --k 9", "k=9 exceeds depth=4: ... pass k between 0 and 4"),
    Case("method_comparison", f"{QUICK} --rules ''", f"rules='' {ITEM}"),
    Case("method_comparison", f"{QUICK} --seeds ,", f"seeds=',' {ITEM}"),
    Case("depth_scan", f"{QUICK} --depths 2,two", f"depths='two' {WHOLE}"),
    Case("depth_scan", f"{QUICK} --depths -2", "depths=-2 is too small: pass at least 1"),
    Case("nonlinearity_ladder", "--alphas 2", "alphas=2.0 is too large: pass at most 1"),
    Case("nonlinearity_ladder", "--depths 0", "depths=0 is too small: pass at least 1"),
    Case("nonlinearity_ladder", "--field_alphas 0.3", "field_alphas=0.3 has 0.3, ... name some of"),
    Case("boundary_ablation", "--codes et", "unknown code 'et': choose from eT, deltaL, eT_hL"),
    Case("boundary_ablation", "--warmups 2", "warmup_ratio=2.0 is too large: pass at most 1"),
    Case("boundary_ablation", "--warmup_code et", "unknown warmup_code 'et': choose from eT"),
    Case("boundary_ablation", "--tgws -1", "tgw=-1.0 is too small: pass at least 0"),
    Case("vector_audit", "--arms M5", "unknown ... 'M5': choose from scalar, ... M8, M16"),
    Case("vector_audit", "--depths 4,x", f"depths='x' {WHOLE}"),
    Case("toy_lq", "--rules nosuch", f"unknown rule 'nosuch': {ALL_RULES}"),
    Case("toy_lq", "--tgws ''", f"tgws='' {ITEM}"),
    Case("toy_lq", "--train_samples 0", "train_samples=0: ... pass how many make an epoch"),
    Case("toy_lq", "--width 1", "width=1 is too small for a system that turns: pass 2 or more"),
    Case("frozen_recovery", f"{QUICK} --networks 256", "networks='256' is not width x depth: pass"),
    Case("frozen_recovery", f"{QUICK} --networks 8x2,08x2", f"... names a network twice: {ONCE}"),
    Case("frozen_recovery", f"{QUICK} --arms M5", "unknown arm 'M5': choose from dfa, state_"),
    Case("frozen_recovery", f"{QUICK} --reference_epochs 0", "reference_epochs=0 is too small: pa"),
    Case("online_scan", f"{QUICK} --arms dfa", "arms=dfa needs dfa and another: S1 is the lead"),
    Case("online_scan", f"{QUICK} --arms dfa,M4", "unknown arm 'M4': choose from bp, oracle, dfa"),
    Case("online_scan", f"{QUICK} --seeds 42,x", f"seeds='x' {WHOLE}"),
    Case("online_scan", f"{QUICK} --warmups 0,1.5", "warmups=1.5 is too large: pass at most"),
    Case(
        "matched_controls", f"{QUICK} --controls none", "unknown control 'none': choose from base"
    ),
    Case("matched_controls", f"{QUICK} --control_penalty x", f"control_penalty='x' {NUMBER}"),
    Case(
        "matched_controls", "--dataset toy_lq", "dataset=toy_lq has no network to match: cifar10,"
    ),
    Case("credit_scale", f"{QUICK} --epss 0,-1", "epss=-1.0 is too small: pass at least 0"),
    Case("credit_scale", f"{QUICK} --epss 1e-6,0.000001", f"epss=... names a number twice: {ONCE}"),
    Case(
        "credit_scale", f"{QUICK} --reductions all", "unknown credit_reduction 'all': choose from"
    ),
    Case("credit_scale", f"{QUICK} --rules fa,state_bridge", "... has state_bridge, ... leave it"),
    Case("frozen_init", f"{DIGITS} --samples 0", "samples=0 is too small: pass at least 2"),
    Case("frozen_init", f"{DIGITS} --samples 361", "samples=361: digits has 360 test images, pass"),
    Case("frozen_init", f"{DIGITS} --seeds 4,4", f"seeds='4,4' names an item twice: {ONCE}"),
]

TOO_LARGE = [
    Case("train", f"{DIGITS} --width 1000000", f"... width=1000000, {MEMORY}"),
    Case("train", f"{DIGITS} --batch_size 1000000000", f"... batch_size=1000000000, {MEMORY}"),
    Case("train", f"{DIGITS} --directions 1000000000", f"... directions=1000000000 {MEMORY}"),
    Case(
        "train",
        f"{DIGITS} --rule credit_bridge --draws 1000000000",
        f"... draws=1000000000 {MEMORY}",
    ),
    Case("ladder", f"{QUICK} --width 1000000", f"... width=1000000, {MEMORY}"),
    Case("toy_lq", "--width 1000000", f"... width=1000000, {MEMORY}"),
    Case("toy_lq", "--measure_samples 1000000000", f"... measure_samples=1000000000, {MEMORY}"),
    Case("frozen_init", f"{DIGITS} --width 1000000", f"a network of width=1000000, {MEMORY}"),
    Case(
        "frozen_recovery",
        f"{QUICK} --estimator_width 100000000",
        f"... estimator_width=100000000 {MEMORY}",
    ),
]

DATA = [
    Case("train", "--dataset cifar", "unknown dataset 'cifar': did you mean 'cifar10'? choose"),
    Case("train", "--dataset toy_lq", "dataset=toy_lq has no network: ... entrypoints.toy_lq"),
    Case("frozen_init", "--dataset toy_lq", "dataset=toy_lq has no network: ... .toy_lq"),
    Case(
        "train",
        f"{DIGITS} --train_samples 1438",
        "train_samples=1438 is not possible: digits has 1437 ... pass 1 to 1437, or 0 for all",
    ),
    Case(
        "frozen_recovery",
        f"{QUICK} --train_samples 5000",
        "train_samples=5000 is not possible: digits has 1437 ... pass 1 to 1437, or 0 for all",
    ),
    Case(
        "ladder",
        "",
        "CREDIT_DATA={here}/absent is not a directory: create it, or unset CREDIT_DATA",
        env("CREDIT_DATA", "{here}/absent"),
    ),
    Case(
        "train",
        "",
        "CREDIT_DATA={here}/a_file is not a directory: create it, or unset CREDIT_DATA",
        file("a_file", "", env("CREDIT_DATA", "{here}/a_file")),
    ),
    Case("train", "", "cifar10 is not in {here}/data ... set CREDIT_DATA ... or pass --dataset di"),
    Case(
        "method_comparison",
        "--dataset fashion_mnist",
        "fashion_mnist is not in {here}/data ... set CREDIT_DATA ... or pass --dataset digits",
    ),
    Case(
        "depth_scan",
        "",
        "{here}/data/cifar-10-batches-py/data_batch_3 is corrupt (...): delete it and run again",
        file("data/cifar-10-batches-py/data_batch_3", b"\x80\x02}q\x00"),
    ),
    Case(
        "train",
        "",
        "{here}/data/cifar-10-batches-py/test_batch cannot be read (...): make it readable, or",
        folder("data/cifar-10-batches-py/test_batch"),
    ),
    Case(
        "train",
        "",
        "{here}/data/cifar-10-python.tar.gz is corrupt (...): delete it and run again",
        file("data/cifar-10-python.tar.gz", b"\x1f\x8b half of it"),
    ),
    Case(
        "train",
        "--dataset fashion_mnist",
        "FashionMNIST/raw/train-labels-idx1-ubyte is corrupt (...): delete it and run again",
        file("data/FashionMNIST/raw/train-labels-idx1-ubyte", b"\0\0\x08\x01"),
    ),
    Case("ladder", "--preset quick --ks 9", "k=9 exceeds depth=4: ... pass k between 0 and 4"),
]

URI = "MLFLOW_TRACKING_URI"
STORE = [
    Case(
        "train",
        TINY,
        "cannot write the tracking store {here}/a_file/mlflow.db (...): make it writable, or set",
        file("a_file", "", env(URI, "sqlite:///{here}/a_file/mlflow.db")),
    ),
    Case(
        "train",
        TINY,
        "cannot write the tracking store {here} (...): make it writable, or set MLFLOW_TRACKING_",
        env(URI, "sqlite:///{here}"),
    ),
    Case(
        "toy_lq",
        QUICK.partition(" --dataset")[0],
        "cannot write the tracking store {here}/notes.db (...): make it",
        file("notes.db", "no database " * 100, env(URI, "sqlite:///{here}/notes.db")),
    ),
    Case(
        "report",
        "",
        "no tracking store answers at sqlite:///{here}/mlflow.db (...): start the server, or set",
        sql("UPDATE alembic_version SET version_num = 'ffff'"),
    ),
    Case(
        "ladder",
        DIGITS,
        f"no tracking store answers at {REFUSES} (...): start the server, or set or unset {URI}",
        env(URI, REFUSES),
    ),
    Case(
        "export",
        "",
        f"no tracking store answers at {REFUSES} (...): start the server, or set or unset {URI}",
        env(URI, REFUSES),
    ),
    Case(
        "train",
        TINY,
        "no tracking store answers at mysql://127.0.0.1/x (...): start the server, or set or unset",
        env(URI, "mysql://me:secret@127.0.0.1/x"),
    ),
    Case("train", TINY, "no tracking store answers at odd://x (...): start", env(URI, "odd://x")),
    Case("train", TINY, f"{URI}=sqlite is not a URI: name a file as sqlite:", env(URI, "sqlite")),
    Case("train", TINY, "tracking uri sqlite:// keeps nothing: name a file", env(URI, "sqlite://")),
    Case(
        "train",
        TINY,
        "{here}/a_file/x/... cannot be written (Not a directory), ...: set CREDIT_STATE to a fold",
        file("a_file", "", env("CREDIT_STATE", "{here}/a_file/x")),
    ),
    Case(
        "train",
        TINY,
        "run 0123 of MLFLOW_RUN_ID is not in sqlite:...: set an absolute MLFLOW_TRACKING_URI, or",
        env("MLFLOW_RUN_ID", "0123"),
    ),
    Case(
        "train",
        TINY,
        "lr='0.001', but mlflow run logged lr='0.5': pass lr on unchanged",
        run_of_mlflow,
    ),
    Case(
        "train",
        TINY,
        "MLFLOW_EXPERIMENT_ID=77 is not in sqlite:...: unset it",
        env("MLFLOW_EXPERIMENT_ID", "77"),
    ),
    Case(
        "matched_controls",
        QUICK,
        "experiment 'credit' is deleted: mlflow experiments restore --experiment-id 1, or set",
        deleted_experiment,
    ),
]

RUNS = [
    Case("report", "", "the tracking store has no 'ladder' experiment: run one first"),
    Case("audit", "", "rule=... is not one rule: pass --rule ..."),
    Case("audit", f"{QUICK} --rule nosuch", f"unknown rule 'nosuch': {ALL_RULES}"),
    Case("audit", f"{QUICK} --rule dfa --ks 1,2", "ks=..."),
    Case("audit", f"{QUICK} --rule dfa --controls nosuch", "unknown control 'nosuch': ..."),
    Case("audit", f"--run_id {ABSENT}", f"no run '{ABSENT}' in sqlite:...: {RUN_IDS}"),
    Case(
        "audit",
        "--run_id x --rule dfa",
        "rule=dfa does not go with run_id: leave out one of the two",
    ),
    Case("report", "--kind nosuch", "unknown kind 'nosuch': choose from audit, boundary_ablation,"),
    Case("report", f"--parent {ABSENT}", f"no run '{ABSENT}' in sqlite:...: {RUN_IDS}"),
    Case("report", "--parent {parent}", "run {parent} has no child runs: ...", empty_parent),
    Case(
        "report",
        "--parent {run}",
        "run {run} is of kind ... pass the id of a parent run",
        None,
        True,
    ),
    Case("remeasure", f"--parent {ABSENT}", f"no run '{ABSENT}' in sqlite:...: {RUN_IDS}"),
    Case(
        "remeasure", "--measurements alignmnt", "unknown measurement 'alignmnt': did you mean ..."
    ),
    Case("export", "--kind online", "unknown kind 'online': ... 'online_scan'? ..."),
    Case("export", f"--parent {ABSENT} --folder x", f"no run '{ABSENT}' in sqlite:...: {RUN_IDS}"),
    Case(
        "export",
        "--kind train --folder {here}/mine",
        "{here}/mine is not empty and not an export: name another folder",
        file("mine/thesis.txt", "all of it"),
        True,
    ),
    Case(
        "export",
        "--kind train --folder {here}/a_file",
        "{here}/a_file is a file: name a folder",
        file("a_file", ""),
        True,
    ),
    Case(
        "export",
        "--kind train --folder {here}/a_file/x",
        "cannot make {here}/a_file/x (Not a directory): name a folder that you can write",
        file("a_file", ""),
        True,
    ),
    Case(
        "import_results",
        "--folder {here}/absent",
        "cannot read {here}/absent/runs.json (...): name the folder of an export",
    ),
    Case(
        "import_results",
        "--folder x",
        "x/runs.json is not a whole export (...): export it again",
        file("x/runs.json", "{"),
    ),
    Case(
        "import_results",
        "--folder x",
        "x/runs.json has schema '99', not '1': export it again",
        file("x/runs.json", '{"schema": "99", "runs": []}'),
    ),
    Case(
        "import_results",
        "--folder x",
        "x/metrics.parquet is not a whole export (...): export it again",
        file("x/runs.json", '{"schema": "1", "runs": []}'),
    ),
    Case(
        "train",
        f"{TINY} --start 0123456789abcdef",
        "start=0123456789abcdef: the tracking store has no finished run of that spec hash, train",
    ),
    Case(
        "train",
        f"{TINY} --start {{hash}}".replace("--width 8", "--width 16"),
        "width=16, but run {run} to start from has width=8: pass the same",
        trained=True,
    ),
    Case(
        "train",
        f"{TINY} --start {{hash}} --seed 7",
        "start={hash}: the tracking store has no finished run of that spec hash, train it first",
        tag("run", "credit.schema", "0"),
        True,
    ),
    Case(
        "train",
        f"{TINY} --start {{hash}} --seed 7",
        "run {run} has no checkpoint/weights.safetensors to start from, ...: delete it in the",
        without_weights,
        True,
    ),
    Case(
        "frozen_recovery",
        f"--run_id {ABSENT}",
        f"no run '{ABSENT}' in sqlite:...: {RUN_IDS}",
    ),
    Case(
        "frozen_recovery",
        "--run_id {run} --seeds 7",
        "seeds=7 does not go with run_id, whose network has 42: leave out seeds or run_id",
        trained=True,
    ),
    Case(
        "frozen_recovery",
        "--run_id {run}",
        "run_id={run} (bp k2 s42) has schema 0, and this code reads 1: name another",
        tag("run", "credit.schema", "0"),
        True,
    ),
    Case(
        "frozen_recovery",
        "--run_id {run}",
        "run_id={run} (bp k2 s42) is KILLED: run its command again to finish it",
        lambda world: world.client.set_terminated(world.names["run"], "KILLED"),
        True,
    ),
    Case(
        "frozen_recovery",
        "--run_id {run}",
        "run_id={run} (bp k2 s42) is deleted: restore it, or name another run",
        lambda world: world.client.delete_run(world.names["run"]),
        True,
    ),
    Case(
        "frozen_recovery",
        "--run_id {parent}",
        "run_id={parent} (train bp k2 s42) is not of one network: choose an id from",
        trained=True,
    ),
]

CHECKPOINTS = [
    Case(
        "train",
        TINY,
        "checkpoint {checkpoint}: param/embed.bias has shape (7,), the run needs (8,); delete it",
        checkpoint(narrower),
        True,
    ),
    Case(
        "train",
        TINY,
        "checkpoint {checkpoint} is not whole (...): delete it to start its runs from scratch",
        checkpoint(shapeless),
        True,
    ),
    Case(
        "train",
        TINY,
        "{checkpoint} is not a readable checkpoint (schema 999, this is 1): delete it to start",
        checkpoint(of_tomorrow),
        True,
    ),
    Case(
        "train",
        TINY,
        "{checkpoint} is not a readable checkpoint (...): delete it to start its runs from scr",
        checkpoint(b"\x10\0\0\0"),
        True,
    ),
]

CASES = [
    *(*COMMAND_LINE, *VALUES, *GRIDS, *TOO_LARGE, *DATA, *STORE, *RUNS, *CHECKPOINTS),
]
IN_A_PROCESS_OF_ITS_OWN = [COMMAND_LINE[0], VALUES[0], TOO_LARGE[0], DATA[5], STORE[0], RUNS[0]]


# ------------------------------------------------------------------ how it is run


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with Forks() as started:
        yield started


def surroundings(home: Path) -> dict[str, str]:
    """All of the environment of an invocation; there is no network and no GPU."""
    (home / "data").mkdir()
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return kept | {
        "CREDIT_DATA": str(home / "data"),
        "CREDIT_STATE": str(home / "state"),
        "CUDA_VISIBLE_DEVICES": "",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_TRACKING_URI": f"sqlite:///{home / 'mlflow.db'}",
        "MPLBACKEND": "Agg",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(home),  # for rules of the user's own
        "http_proxy": REFUSES,
        "https_proxy": REFUSES,
        "no_proxy": "127.0.0.1",
    }


@pytest.fixture(scope="module")
def trained(
    forks: Forks, _empty_store: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, str]]:
    """A folder with a store that holds a finished run, and that run's names."""
    home = tmp_path_factory.mktemp("trained")
    shutil.copy(_empty_store, home / "mlflow.db")
    env = surroundings(home)
    done = forks.call("train", shlex.split(TINY), env, home, home)
    assert done.status == 0, done.err
    (run,) = MlflowClient(env[URI]).search_runs(["1"], "tags.`credit.spec_hash` LIKE '%'")
    tags = run.data.tags
    names = {"run": run.info.run_id, "hash": tags["credit.spec_hash"]}
    return home, names | {"parent": tags["mlflow.parentRunId"]}


@pytest.fixture
def world(
    request: pytest.FixtureRequest, tracking_store: str, tmp_path: Path, monkeypatch
) -> World:
    """What the case is to find, in this test's folder."""
    case: Case = request.param
    names = {"here": str(tmp_path)}
    if case.trained:
        home, found = request.getfixturevalue("trained")
        names |= found
        shutil.copytree(home / "mlartifacts", tmp_path / "mlartifacts")
        with (
            closing(sqlite3.connect(home / "mlflow.db")) as old,
            closing(sqlite3.connect(tmp_path / "mlflow.db")) as new,
        ):
            old.backup(new)  # a copy of the file lacks what is still in its log
        moved = f"replace({{0}}, '{home}', '{tmp_path}')"
        sql(
            f"UPDATE runs SET artifact_uri = {moved.format('artifact_uri')}",
            f"UPDATE experiments SET artifact_location = {moved.format('artifact_location')}",
        )(World(tmp_path, {}))
    made = World(tmp_path, surroundings(tmp_path), names)
    if case.prepare:
        case.prepare(made)
    return made


def runs_of(folder: Path) -> set[str]:
    """Ids of all runs in the case's store, deleted ones among them."""
    with closing(sqlite3.connect(folder / "mlflow.db")) as database:
        return {run_id for (run_id,) in database.execute("SELECT run_uuid FROM runs")}


def words_of(case: Case, world: World) -> list[str]:
    return [word.format(**world.names) for word in shlex.split(case.words)]


def aside(line: str) -> bool:
    """What is said of a download or of a dataset that stands in, before the error."""
    return line.startswith("fetching ") or line.startswith(
        "credit: training on digits instead of cifar10"
    )


def the_line(done: Done) -> str:
    lines = [line for line in done.err.splitlines() if line.strip() and not aside(line)]
    assert len(lines) == 1, done.err
    return lines[0]


def assert_refused(done: Done, case: Case, world: World, before: set[str]) -> None:
    assert done.status == 1, done
    line = the_line(done)
    assert line.startswith("credit: ")
    place = 0
    for part in case.says.format(**world.names).split("..."):
        place = line.find(part.strip(), place)
        assert place >= 0, (part, line)
    assert done.out == ""
    assert runs_of(world.folder) == before


def name_of(case: Case) -> str:
    return f"{case.script} {case.words} {case.says}"[:90]


def table(cases: list[Case]):
    return pytest.mark.parametrize(
        ("case", "world"),
        [(case, case) for case in cases],
        ids=map(name_of, cases),
        indirect=["world"],
    )


@table(CASES)
def test_bad_input_is_one_line_a_status_and_no_run(case, world, forks):
    before = runs_of(world.folder)
    done = forks.call(case.script, words_of(case, world), world.env, world.folder, world.folder)
    assert_refused(done, case, world, before)


@table(IN_A_PROCESS_OF_ITS_OWN)
def test_a_process_of_its_own_does_as_a_fork(case, world, forks):
    before = runs_of(world.folder)
    words = words_of(case, world)
    done = real(case.script, words, world.env, world.folder)
    assert_refused(done, case, world, before)
    fork = forks.call(case.script, words, world.env, world.folder, world.folder)
    assert done.status == fork.status
    if case not in TOO_LARGE:  # there the line has the memory that is free at that moment
        assert done == fork


def test_the_table_knows_every_entry_point():
    scripts = {path.stem for path in (ROOT / "entrypoints").glob("*.py")}
    assert {case.script for case in CASES} == scripts
    assert len(CASES) > 60
