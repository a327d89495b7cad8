"""Data that several tests train on."""

import pytest

from credit.data import Dataset, load


@pytest.fixture(scope="session")
def digits() -> Dataset:
    return load("digits", train_samples=300)
