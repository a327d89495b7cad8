"""What a report says of the network and the estimators of its runs."""

import pytest

from credit.report.origin import setup
from tests.lab.made import made


@pytest.mark.parametrize(
    ("network", "rule", "estimators", "words"),
    [
        ("resmlp", "bp", 0, ["Residual MLP", "gelu", "LayerNorm"]),
        ("vit_mini", "bp", 0, ["vit_mini"]),
        ("resmlp", "state_bridge", 100, ["Residual MLP", "3 layers of 256 units"]),
        ("resmlp", "local_loss", 100, ["Residual MLP"]),
    ],
)
def test_a_setup_names_the_network_and_shared_estimators_alone(network, rule, estimators, words):
    runs = made({"network": network, "rule": rule, "cost/estimator_parameters": estimators})
    text = " ".join(setup(runs))
    known = ("Residual MLP", "gelu", "LayerNorm", "3 layers of 256 units", "vit_mini")
    missing = set(known) - set(words) - ({"gelu", "LayerNorm"} if network == "resmlp" else set())
    assert all(word in text for word in words)
    assert not any(word in text for word in missing)
