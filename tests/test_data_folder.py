"""The data folder as people name it: the dataset's own folder too, and files that are missing."""

import os
from pathlib import Path

import pytest

from credit.data import DataUnavailable, load

FOLDER = "cifar-10-batches-py"


def test_the_folder_of_cifar_itself_is_understood(cifar_root, monkeypatch):
    monkeypatch.setenv("CREDIT_DATA", str(cifar_root / FOLDER))
    data = load("cifar10", train_samples=100)
    assert tuple(data.train_images.shape) == (100, 3, 32, 32)


def test_a_file_that_is_missing_is_named(cifar_root, tmp_path, monkeypatch):
    monkeypatch.setenv("CREDIT_DATA", str(tmp_path))
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # refused at once: no network
    (tmp_path / FOLDER).mkdir()
    for file in sorted(os.listdir(cifar_root / FOLDER)):
        if file != "data_batch_3":
            Path(tmp_path / FOLDER / file).symlink_to(cifar_root / FOLDER / file)
    with pytest.raises(DataUnavailable, match=r"cifar10 is not whole .*data_batch_3 missing"):
        load("cifar10")
