"""docs/your_rule.md, as a reader follows it: every block is executed as it stands, in order.

In a copy of the checkout with an empty home (`test_documents`); trainings are made short by options
added behind. And the example, which keeps the contract of every rule.
"""

import re

import pytest

from credit import rules
from credit.networks import resmlp
from credit.rules import Trace
from tests.commands import ROOT, python
from tests.project.documents import commands, run, shortened
from tests.reference import ResMLP, hidden_gradients
from tests.rules.cases import SHAPE, X, Y, trace_of
from tests.stacks import close, used_params

DOCUMENT = ROOT / "docs" / "your_rule.md"
EXAMPLE = "examples.sign_symmetric:SignSymmetric"
AUDITED = re.compile(r"^\w+: .* \d+ of its \d+ checks pass\.", re.M)


def all_blocks() -> list[tuple[str, str]]:
    return re.findall(r"^```(sh|python)\n(.*?)^```", DOCUMENT.read_text(), re.DOTALL | re.MULTILINE)


def file_of(block: str) -> tuple[str, str]:
    """The file that a Python block is, from its first line, and the rest."""
    first, rest = block.split("\n", 1)
    found = re.match(r"# ([\w/]+\.py)", first)
    assert found, f"does not say which file it is: {first}"
    return found[1], rest.lstrip("\n")


@pytest.mark.slow
def test_the_document_leads_to_verdicts(newcomer):
    checkout, env = newcomer
    printed = []
    for language, block in all_blocks():
        if language == "python":
            name, text = file_of(block)
            if not (checkout / name).exists():
                (checkout / name).write_text(text)
            continue
        script = "\n".join(c if "--run_id" in c else shortened(c) for c in commands(block))
        printed.append(run(f". .venv/bin/activate\n{script}", checkout, env))
    verdicts = [text for text in printed if AUDITED.search(text)]
    assert len(verdicts) == 4, printed
    assert "PassBack" in verdicts[0] and "Broadcast" in verdicts[1]
    assert "SignSymmetric" in verdicts[2] and "measured again" in verdicts[3]
    assert re.search(r"D3\s+(pass|fail|undefined)", verdicts[3])
    assert re.search(r"^\d+ passed", printed[-1], re.M), printed[-1]


def test_the_document_shows_the_example_as_it_is():
    files = dict(file_of(block) for language, block in all_blocks() if language == "python")
    assert files["examples/sign_symmetric.py"] == (ROOT / "examples/sign_symmetric.py").read_text()


def test_the_conformance_suite_of_all_rules_passes_on_the_example():
    options = "-m pytest -q -n 0 -p no:cacheprovider tests/rules -k SignSymmetric"
    done = python(*options.split(), CREDIT_RULES=EXAMPLE)
    assert done.returncode == 0, done.stdout[-3000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed and int(passed[1]) >= 14, done.stdout[-1000:]


def example_trace(params: resmlp.Params, n: int = len(X)) -> Trace:
    return trace_of(rules.get(EXAMPLE), params, X[:n], Y[:n])


def test_with_weights_that_are_their_own_signs_it_is_backprop():
    params = used_params(SHAPE)
    for name, weight in params.items():
        if name.endswith(("fc1.weight", "fc2.weight")):
            params[name] = 0.3 * weight.sign()
    exact = hidden_gradients(ResMLP.from_params(params), X, Y)
    for a, g in zip(rules.get(EXAMPLE).credit({}, example_trace(params)), exact, strict=True):
        close(a, g)
