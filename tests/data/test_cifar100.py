"""CIFAR-100 from files of its format, with made-up content."""

import hashlib
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.datasets import CIFAR100

from credit.data import load
from credit.errors import CreditError

COUNTS = {"train": 200, "test": 50}


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    source = np.random.default_rng(0)
    contents = {"meta": {"fine_label_names": [f"class {i}" for i in range(100)]}}
    for split, count in COUNTS.items():
        labels = source.integers(100, size=count)
        pixels = np.repeat(labels[:, None], 3072, axis=1).astype(np.uint8)
        contents[split] = {"data": pixels, "fine_labels": labels.tolist()}
    sums = {}
    for name, content in contents.items():
        (folder / name).write_bytes(pickle.dumps(content))
        written = (folder / name).read_bytes()
        sums[name] = hashlib.md5(written, usedforsecurity=False).hexdigest()
    monkeypatch.setattr(CIFAR100, "train_list", [["train", sums["train"]]])
    monkeypatch.setattr(CIFAR100, "test_list", [["test", sums["test"]]])
    monkeypatch.setattr(CIFAR100, "meta", {**CIFAR100.meta, "md5": sums["meta"]})
    return tmp_path


def test_images_and_fine_labels_are_read(root):
    data = load("cifar100", root=root, train_samples=150)
    assert data.train_images.shape == (150, 3, 32, 32) and len(data.test_labels) == COUNTS["test"]
    assert data.classes == 100 and data.train_labels.max() > 9
    assert torch.equal(data.train_images[:, 2, 5, 5].long(), data.train_labels)


def test_a_changed_file_is_refused_before_it_is_unpickled(root):
    (root / "cifar-100-python" / "test").write_bytes(b"x")
    with pytest.raises(CreditError, match="corrupt"):
        load("cifar100", root=root)
