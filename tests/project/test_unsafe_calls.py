"""No code of the project unpickles or runs what it reads, or listens to the network."""

import ast
import re
import tomllib

import nbformat
import pytest

from tests.commands import ROOT

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


def test_nothing_listens_to_the_network():
    for path in (ROOT / "Makefile", ROOT / "MLproject", *SOURCES, *ROOT.glob("benchmarks/*.*")):
        text = path.read_text()
        assert "0.0.0.0" not in text, path
        assert set(re.findall(r"--host[= \"',]+([\w.]+)", text)) <= {"127.0.0.1"}, path


def test_pyarrow_is_one_that_no_longer_unpickles_types():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (pin,) = [text for text in project["dependencies"] if text.startswith("pyarrow")]
    assert int(re.findall(r"\d+", pin)[0]) >= 15  # 14.0.1 ended that
