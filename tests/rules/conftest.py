"""Every rule, by name and itself."""

import pytest

from credit import rules
from credit.rules import Rule
from tests.rules.cases import NAMES


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def rule(name: str) -> Rule:
    return rules.get(name)
