"""Files from anyone: nothing in them is run, nothing leaves its folder, and what is shown is text.

Each trap is a real pickle that writes a file when it is unpickled; a test shows that it does.
"""

import ast
import io
import json
import os
import pickle
import re
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree

import nbformat
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from credit.data import fallback, load
from credit.data.files import DataUnavailable
from credit.errors import CreditError
from credit.report import publish
from credit.spec import RunSpec
from credit.sweep import sweep
from credit.tracking.artifacts import harmless, markdown
from credit.tracking.journal import Journal
from credit.tracking.marks import IMPORTED_FROM, NOTE, REASON
from credit.tracking.portable import _inside, export, import_into
from credit.tracking.reader import connect
from credit.tracking.writer import finish, log_text, open_child, open_parent, open_store
from credit.training import checkpoint
from tests.test_portable import damage, exported, other  # noqa: F401  (fixtures)
from tests.test_sweep import BASE

ROOT = Path(__file__).parent.parent
HOSTILE = "<img src=x onerror=alert(1)>|[x](javascript:alert(2))\n`\x1b[2J&lt;\\|"
CHILD = 1


class Payload:
    """Unpickling this writes a file."""

    def __init__(self, trap: Path) -> None:
        self.trap = trap

    def __reduce__(self):
        return Path.write_text, (self.trap, "unpickled")


@pytest.fixture
def trap(tmp_path):
    """The file that must not be there at the end."""
    path = tmp_path / "unpickled.txt"
    yield path
    assert not path.exists(), "a pickle was unpickled"


def pickled(trap: Path, protocol: int = 4) -> bytes:
    return pickle.dumps({"data": Payload(trap)}, protocol)


def torch_saved(trap: Path) -> bytes:
    buffer = io.BytesIO()
    torch.save({"param/embed.weight": Payload(trap)}, buffer)
    return buffer.getvalue()


TRAPS = {
    "pickle": pickled,
    "text pickle": lambda trap: pickled(trap, protocol=0),
    "torch.save": torch_saved,
}
each_trap = pytest.mark.parametrize("made", TRAPS.values(), ids=TRAPS.keys())


def refused(action, *words: str) -> str:
    """The one line with which `action` ends."""
    with pytest.raises(CreditError) as caught:
        action()
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message
    return message


@each_trap
def test_the_traps_work(made, tmp_path):
    path = tmp_path / "trap"
    content = made(path)
    if made is torch_saved:
        torch.load(io.BytesIO(content), weights_only=False)
    else:
        pickle.loads(content)
    assert path.read_text() == "unpickled"


# ------------------------------------------------------------------ checkpoints and specs


@each_trap
@pytest.mark.parametrize("name", ["weights.safetensors", "last.safetensors"])
def test_a_pickle_as_a_run_s_checkpoint(made, name, tmp_path, trap):
    path = tmp_path / name
    path.write_bytes(made(trap))
    refused(lambda: checkpoint.read_header(path), name, "not a readable checkpoint", "delete it")
    refused(lambda: checkpoint.network_of(path), name)
    found, unreadable = checkpoint.find(tmp_path)
    assert not found and [name in str(error) for error in unreadable] == [True]


def train(rule: str, **changes) -> sweep.Outcome:
    spec = RunSpec(**{**BASE, "rule": rule, "k": 0, "epochs": 1, **changes})
    return sweep.run(sweep.Sweep("train", rule, [spec]), open_store())


@each_trap
def test_a_pickle_where_a_sweep_looks(made, tracking_store, trap, capsys):
    """A stack below CREDIT_STATE; then weights and spec of the run that another starts from."""
    spec = sweep.resolve(RunSpec(**{**BASE, "rule": "bp", "k": 0, "epochs": 1}))
    store = open_store()
    stack = sweep.state_folder(store) / "stacks" / "0123456789abcdef.safetensors"
    stack.parent.mkdir(parents=True)
    stack.write_bytes(made(trap))
    parent = open_parent(store, "bp", "train", {}, "0" * 16)
    finish(store, open_child(store, parent, spec), "KILLED")  # was this its checkpoint?
    finish(store, parent, "KILLED")
    refused(lambda: train("bp"), str(stack), "not a readable checkpoint", "delete it")
    train("dfa")  # which has none
    assert f"{stack} is not a readable checkpoint" in capsys.readouterr().err
    stack.unlink()
    (run_id,) = train("bp").run_ids.values()
    folder = connect().artifact(run_id, "checkpoint")
    (folder / "spec.json").write_bytes(made(trap))  # for people to read; no code does
    train("fa", start=spec.spec_hash)
    (folder / "weights.safetensors").write_bytes(made(trap))
    refused(lambda: train("oracle", start=spec.spec_hash), "weights.safetensors")


def test_a_pickle_as_a_journal(tmp_path, trap):
    (tmp_path / "run.jsonl").write_bytes(pickled(trap) + b"\n")
    (tmp_path / "run.sent").write_bytes(pickled(trap, 0))
    journal = Journal(tmp_path, "run")
    assert not journal.complete and not journal.steps


# ------------------------------------------------------------------ exports


def import_all(store, folder):
    return lambda: import_into(store, folder)


@contextmanager
def changed(path: Path, content: bytes) -> Iterator[None]:
    """The file with another content, or a new one; afterwards as it was."""
    before = path.read_bytes() if path.exists() else None
    path.write_bytes(content)
    yield
    path.unlink() if before is None else path.write_bytes(before)


def test_a_pickle_in_an_export(exported, other, trap):  # noqa: F811
    run = next((exported / "artifacts").iterdir())
    (run / "checkpoint").mkdir()
    weights = run / "checkpoint" / "weights.safetensors"
    tables = [exported / f"{name}.parquet" for name in ("metrics", "layers")]
    for path in (exported / "runs.json", *tables, run / "x.csv", weights):
        for name, made in TRAPS.items():
            with changed(path, made(trap)):
                if path.suffix == ".csv" and name == "text pickle":
                    continue  # it is text, and stays what it is
                refused(import_all(other, exported), path.name)
    assert connect().runs().empty
    (run / "x.csv").write_bytes(pickled(trap, 0))
    import_into(other, exported)
    assert len(connect().runs()) == 3


def test_a_pickle_as_the_list_of_children(exported, other, trap):  # noqa: F811
    parent = json.loads((exported / "runs.json").read_text())["runs"][0]
    assert parent["parent_id"] is None
    children = exported / "artifacts" / parent["run_id"] / "runs.json"
    for content in (pickled(trap, 0), b"[" * 100_000):
        children.write_bytes(content)
        refused(import_all(other, exported), str(children))
    assert connect().runs().empty


def test_parquet_types_that_carry_a_pickle(exported, other, trap):  # noqa: F811
    """What older pyarrow unpickled: an extension type of Python, in the file's schema."""
    metadata = {
        b"ARROW:extension:name": b"arrow.py_extension_type",
        b"ARROW:extension:metadata": pickle.dumps(Payload(trap)),
    }
    for path in (exported / "metrics.parquet", exported / "layers.parquet"):
        table = pq.read_table(path)
        fields = [field.with_metadata(metadata) for field in table.schema]
        schema = pa.schema(fields, metadata={b"pandas": pickle.dumps(Payload(trap))})
        pq.write_table(table.cast(schema), path)
    import_into(other, exported)
    assert len(connect().runs()) == 3


def test_a_rule_in_an_export_is_not_imported(exported, other, tmp_path, monkeypatch, trap):  # noqa: F811
    (tmp_path / "evil_rule.py").write_text(f"open({str(trap)!r}, 'w').close()\nRule = object\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    def rename(document):
        for record in document["runs"]:
            if record["parent_id"]:
                with_spec(record, rule="evil_rule:Rule", credit_reduction="sum")

    damage(exported, rename)
    import_into(other, exported)
    reader = connect()
    assert set(reader.runs()["rule"]) == {"evil_rule:Rule"}
    parent = reader.parents("ladder").iloc[0]["run_id"]
    publish(other, parent)
    export(reader, reader.runs()["run_id"], tmp_path / "again")
    assert "evil_rule" not in sys.modules
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    child = reader.children(parent)[0]
    for words in (["remeasure", "--parent", parent], ["audit", "--run_id", child]):
        done = subprocess.run(
            [sys.executable, "-m", f"entrypoints.{words[0]}", *words[1:]],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 1 and "--trust_rules evil_rule:Rule" in done.stderr


def with_spec(record: dict, **changes) -> None:
    spec = RunSpec.from_mapping({**record["params"], **changes})
    record.update(params=spec.to_params())
    record["tags"]["credit.spec_hash"] = spec.spec_hash


POISON = {
    "a tag that claims a run": lambda r: r["tags"].update({"credit.owner": "host:x:y"}),
    "a heartbeat": lambda r: r["tags"].update({"credit.heartbeat": "soon"}),
    "a parent tag": lambda r: r["tags"].update({"mlflow.parentRunId": "x"}),
    "a path as parent": lambda r: r.update(parent_id="../../x"),
    "an escape sequence as name": lambda r: r.update(name="\x1b]0;evil\x07"),
    "a line break as parameter": lambda r: with_spec(r, rule="dfa\n"),
    "HTML as rule": lambda r: with_spec(r, rule="<script>alert(1)</script>"),
    "a formula as rule": lambda r: with_spec(r, rule="$\\frac$"),
    "a path as parameter": lambda r: (
        r["tags"].pop("credit.spec_hash"),
        r["params"].update({"../x": "1"}),
    ),
    "a hash without its run": lambda r: r.update(parent_id=None, params={"rule": "x", "k": "many"}),
    "a time after all dates": lambda r: r.update(end=10**18),
    "a time too large for the store": lambda r: r.update(start=10**40),
    "true as time": lambda r: r.update(start=True),
    "NaN as time": lambda r: r.update(start=float("nan")),
    "a very long text": lambda r: r["tags"].update({NOTE: "x" * 10_000}),
    "a parameter that the store refuses": lambda r: (
        r["tags"].pop("credit.spec_hash"),
        r["params"].update({"a/./b": "1"}),
    ),
    "a dataset's name of 501 characters": lambda r: r.update(
        dataset={"name": "x" * 501, "digest": "1", "source": "y"}
    ),
    "a run's name of 251 characters": lambda r: r.update(name="x" * 251),
    "a number of 2**63": lambda r: r["params"].update(seed=str(2**63)),
    "an odd sweep": lambda r: r.update(sweeps=["../x"]),
    "a number as digest": lambda r: r.update(dataset={"name": "x", "digest": 1, "source": "y"}),
}


def test_what_would_harm_the_store_creates_nothing(exported, other):  # noqa: F811
    path = exported / "runs.json"
    for name, poison in POISON.items():
        with changed(path, path.read_bytes()):
            damage(exported, lambda document, p=poison: p(document["runs"][CHILD]))
            with pytest.raises(CreditError) as caught:
                import_into(other, exported)
        assert str(path) in str(caught.value) and "\n" not in str(caught.value), name
    assert connect().runs().empty and connect().parents().empty


def test_a_pipe_or_a_bomb_in_an_export_is_told_at_once(exported, other):  # noqa: F811
    one = pa.table({"run_id": ["x"], "key": ["a"], "step": [1], "value": [0.0], "timestamp": [1]})
    many = pa.concat_tables([one] * 1000).combine_chunks()
    whole = (exported / "metrics.parquet").read_bytes()
    with pq.ParquetWriter(exported / "metrics.parquet", one.schema, compression="zstd") as file:
        for _ in range(11):
            file.write_table(pa.concat_tables([many] * 1000), row_group_size=10**6)
    refused(import_all(other, exported), "11000000")
    (exported / "metrics.parquet").write_bytes(whole)
    for name in ("layers.parquet", "metrics.parquet", "runs.json"):
        (exported / name).unlink()
        os.mkfifo(exported / name)
        refused(import_all(other, exported), name)
    assert connect().runs().empty


def test_runs_json_that_is_odd_as_a_whole(exported, other):  # noqa: F811
    text = (exported / "runs.json").read_text()
    record = json.loads(text)["runs"][CHILD]
    damage(exported, lambda document: document["runs"].append(record))
    refused(import_all(other, exported), "twice")
    for content in (
        b"[" * 200_000,
        b"\xff\xfe",
        b'{"schema": "1", "runs": [' + b"9" * 5000 + b"]}",
    ):
        (exported / "runs.json").write_bytes(content)
        refused(import_all(other, exported), "runs.json")
    assert connect().runs().empty


def change_first(path: Path, **columns) -> None:
    frame = pd.read_parquet(path)
    for name, value in columns.items():
        frame[name] = [value, *(frame[name] if name in frame else frame["run_id"]).iloc[1:]]
    frame.to_parquet(path, index=False)


HARMFUL = [
    {"key": "../../etc/passwd"},
    {"key": "/etc/passwd"},
    {"key": "a/../b"},
    {"key": "<script>alert(1)</script>"},
    {"key": "a\x1b[2J"},
    {"key": "a" * 300},
    {"key": ""},
    {"run_id": "../../x"},
    {"timestamp": -5},
    {"timestamp": 2**62},
]


HARMFUL_LAYERS: list[dict] = [
    {"run_id": "../../x"},
    {"run_id": None},
    {"status": "a\x1b[2J"},
    {"status": "a\n| b |"},
    {"status": "x" * 10_000},
    {"<script>": "x"},
    {"a/../b": "x"},
    {"": "x"},
]


def test_hostile_values_create_nothing(exported, other):  # noqa: F811
    path = exported / "metrics.parquet"
    for changes in HARMFUL:
        with changed(path, path.read_bytes()):
            change_first(path, **changes)
            refused(import_all(other, exported), path.name)
    path = exported / "layers.parquet"
    for changes in HARMFUL_LAYERS:
        with changed(path, path.read_bytes()):
            change_first(path, **changes)
            refused(import_all(other, exported), path.name)
    with changed(path, path.read_bytes()):
        pd.DataFrame({"run_id": ["x"]}).to_parquet(path)
        refused(import_all(other, exported), path.name)
    assert connect().runs().empty


def test_links_in_an_export_are_not_followed(exported, other, tmp_path):  # noqa: F811
    secret = tmp_path / "secret.csv"
    secret.write_text("mine")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "more.md").write_text("mine, too")
    artifacts = exported / "artifacts"
    run = next(artifacts.iterdir())
    kept = tmp_path / "kept"
    for name, target in (
        (run / "layers.csv", secret),
        (run / "lost.csv", tmp_path / "nowhere"),
        (run / "folder", tmp_path / "secrets"),
        (run / "deep" / "up.md", Path("../../../../secret.csv")),
    ):
        name.parent.mkdir(exist_ok=True)
        name.symlink_to(target)
        refused(import_all(other, exported), str(name), "is a link", "delete it")
        name.unlink()
    for folder in (run, artifacts, *(exported / f"{n}.parquet" for n in ("metrics", "layers"))):
        folder.rename(kept)
        folder.symlink_to(kept)
        refused(import_all(other, exported), str(folder), "is a link")
        folder.unlink()
        kept.rename(folder)
    assert connect().runs().empty
    import_into(other, exported)
    assert len(connect().runs()) == 3


def test_artifacts_that_no_export_has(exported, other):  # noqa: F811
    run = next((exported / "artifacts").iterdir())
    for name in ("page.html", "weights.safetensors", "module.py", "large.csv"):
        with changed(run / name, b"x" * (300_000 if name == "large.csv" else 3)):
            refused(import_all(other, exported), name, "delete it")
    assert connect().runs().empty


def test_an_export_writes_into_its_folder_only(exported, tmp_path):  # noqa: F811
    reader, store = connect(), open_store()
    run_id = reader.runs()["run_id"].iloc[0]
    log_text(store, run_id, "fine", "..two dots.md")  # a name, not a way out
    export(reader, [run_id], tmp_path / "named")
    assert (tmp_path / "named" / "artifacts" / run_id / "..two dots.md").read_text() == "fine"
    outside = tmp_path / "outside"
    outside.mkdir()
    for name in ("runs.json", "metrics.parquet", "layers.parquet", "artifacts"):
        folder = tmp_path / f"with {name}"
        folder.mkdir()
        (folder / name).symlink_to(outside / name if "." in name else outside)
        refused(lambda f=folder: export(reader, [run_id], f), name, "is a link")
    for name in ("../../../evil", "/tmp/evil", "A" * 32):
        store.client.set_tag(run_id, IMPORTED_FROM, name)
        refused(lambda: export(reader, [run_id], tmp_path / "new"), run_id, "no run id")
    assert list(outside.iterdir()) == [] and not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["../x.md", "../../x", "/etc/x.md", "a/../../x.md", "link/x.md"])
def test_artifact_names_that_lead_out(name, tmp_path):
    folder = tmp_path / "artifacts"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path)
    refused(lambda: _inside(folder, name), "leads out")
    assert _inside(folder, "a/b.md") == folder / "a" / "b.md"


# ------------------------------------------------------------------ what is shown


def cells(line: str) -> list[str]:
    """A table row's cells as GitHub finds them: a backslash escapes what follows it."""
    return [cell.strip() for cell in re.findall(r"\|((?:\\.|[^|\\])*)(?=\|)", line)]


def test_a_table_shows_hostile_names_as_text():
    frame = pd.DataFrame({HOSTILE: [HOSTILE], "n": [3], "dfa | fa": ["back\\|slash"]})
    lines = markdown(frame).splitlines()
    assert len(lines) == 3 and [len(cells(line)) for line in lines] == [3, 3, 3]
    text = "\n".join(lines)
    assert not re.search(r"<|\x1b|(?<!\\)\[|(?<!\\)`", text)
    assert "&lt;img src=x onerror=alert(1)>" in text and "&amp;lt;" in text
    assert cells(lines[2])[2] == r"back\\\|slash"
    plain = pd.DataFrame({"rule": ["vector_field"], "Γ, l < L": ["−.01 ± .02"]})
    assert markdown(plain).splitlines()[2] == "| vector_field | −.01 ± .02 |"


def test_notes_show_hostile_names_as_text(exported, other):  # noqa: F811
    def write(document):
        document["runs"][CHILD]["tags"].update({NOTE: HOSTILE, REASON: "a < b\n\x1b[2J"})
        document["runs"][CHILD]["name"] = "<b>|dfa"

    damage(exported, write)
    import_into(other, exported)
    (row,) = connect().runs(filter="attributes.run_name = '<b>|dfa'").to_dict("records")
    tags = connect().run(row["run_id"]).data.tags
    assert not re.search(r"<|\x1b|\[", tags[NOTE])
    assert "&lt;img src=x onerror=alert(1)>" in tags[NOTE]
    assert row["reason"] == "a < b\n [2J"
    assert harmless(tags[NOTE]) == tags[NOTE]


def test_the_report_of_an_imported_ladder_has_no_markup(exported, other):  # noqa: F811
    damage(exported, lambda document: document["runs"][0].update(name="<script>alert(1)</script>"))
    import_into(other, exported)
    reader = connect()
    parent = reader.parents("ladder").iloc[0]["run_id"]
    assert "<script" not in publish(other, parent)
    assert "<" not in reader.artifact(parent, "table.md").read_text()
    root = ElementTree.parse(reader.artifact(parent, "figure.svg")).getroot()
    names = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert not names & {"script", "foreignObject", "a", "image"}


# ------------------------------------------------------------------ data

BATCHES = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta"]


@pytest.fixture
def no_network(monkeypatch):
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("file", BATCHES)
def test_a_changed_cifar_file_is_refused_before_it_is_unpickled(file, tmp_path, no_network, trap):
    path = tmp_path / "cifar-10-batches-py" / file
    path.parent.mkdir()
    path.write_bytes(pickled(trap))
    for read in (load, fallback):
        refused(lambda r=read: r("cifar10", root=tmp_path), file, "corrupt", "delete it")


def test_a_changed_cifar_file_beside_the_real_ones(cifar_root, tmp_path, trap):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for file in BATCHES[1:]:
        (folder / file).symlink_to((cifar_root / folder.name / file).resolve())
    (folder / BATCHES[0]).write_bytes(pickled(trap))
    refused(lambda: load("cifar10", root=tmp_path), BATCHES[0], "corrupt")


def test_a_changed_cifar_archive_is_not_unpacked(tmp_path, no_network, trap):
    path = tmp_path / "cifar-10-python.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for file in BATCHES:
            info = tarfile.TarInfo(f"cifar-10-batches-py/../../{file}")
            info.size = len(content := pickled(trap))
            archive.addfile(info, io.BytesIO(content))
    message = refused(lambda: load("cifar10", root=tmp_path), path.name, "corrupt")
    assert "downloaded" not in message
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    with pytest.raises(DataUnavailable):
        load("cifar10", root=tmp_path / "elsewhere")


# ------------------------------------------------------------------ what the code calls

SOURCES = sorted(p for part in ("credit", "entrypoints") for p in (ROOT / part).rglob("*.py"))
UNPICKLERS = {"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
CALLS = {"torch.load", "read_pickle", "eval", "exec", "compile", "os.system", "yaml.load"}


def dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def unsafe(text: str) -> list[str]:
    """What of `text` unpickles or runs what it reads."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            names = []
        found += [n for n in names if n.split(".")[0] in UNPICKLERS or n in CALLS]
        if isinstance(node, ast.Call):
            name = dotted(node.func)
            if name in CALLS or name.rpartition(".")[2] in ("read_pickle", "to_pickle"):
                found.append(name)
            for word in node.keywords:
                value = getattr(word.value, "value", True)
                if word.arg in ("allow_pickle", "shell") and value:
                    found.append(f"{name}({word.arg})")
                if word.arg == "weights_only":
                    found.append(f"{name}({word.arg})")
    return found


def test_no_module_unpickles_or_runs_what_it_reads():
    assert len(SOURCES) > 100
    assert {path: found for path in SOURCES if (found := unsafe(path.read_text()))} == {}


def test_no_notebook_does_either():
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "code":
                code = re.sub(r"(?m)^%.*", "", cell.source)
                assert unsafe(code) == [], path.name


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "from joblib import load",
        "from torch import load",
        "torch.load(path)",
        "np.load(path, allow_pickle=True)",
        "pd.read_pickle(path)",
        "subprocess.run(x, shell=True)",
        "eval(text)",
    ],
)
def test_the_search_finds_what_it_looks_for(text):
    assert unsafe(text)


# ------------------------------------------------------------------ the UI


def test_make_ui_serves_this_machine_only():
    shown = subprocess.run(
        ["make", "--dry-run", "ui", f"PYTHON={sys.executable}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    served = [line for line in shown.replace("\\\n", " ").splitlines() if "mlflow ui" in line]
    assert served and all("--host 127.0.0.1" in line for line in served)


def test_nothing_listens_to_the_network():
    for path in (ROOT / "Makefile", ROOT / "MLproject", *SOURCES, *ROOT.glob("benchmarks/*.*")):
        text = path.read_text()
        assert "0.0.0.0" not in text, path
        assert set(re.findall(r"--host[= \"',]+([\w.]+)", text)) <= {"127.0.0.1"}, path


def test_pyarrow_is_one_that_no_longer_unpickles_types():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (pin,) = [text for text in project["dependencies"] if text.startswith("pyarrow")]
    assert int(re.findall(r"\d+", pin)[0]) >= 15  # 14.0.1 ended that
