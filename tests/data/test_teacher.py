"""The synthetic dataset `teacher`: the same every time, balanced, exact, and not linear."""

import pytest
import torch

from credit.data import Dataset, fallback, load, teacher
from credit.data.batches import held_out, train_batches

F32, F64 = torch.float32, torch.float64


@pytest.fixture(scope="module")
def data() -> Dataset:
    return load("teacher")


def test_what_it_holds(data):
    for images, labels, n in (
        (data.train_images, data.train_labels, 10_000),
        (data.test_images, data.test_labels, 2048),
    ):
        assert images.shape == (n, 1, 1, teacher.INPUTS) and images.dtype == torch.uint8
        assert labels.shape == (n,) and labels.dtype == torch.int64
        share = labels.bincount(minlength=10) / n
        assert share.min() > 0.03 and share.max() < 0.25
    assert (data.d_in, data.classes, data.pad, data.flip) == (24, 10, 0, False)
    rows = torch.cat([data.train_images, data.test_images]).flatten(1)
    assert len(rows.unique(dim=0)) == len(rows)  # no test sample is a training sample


def test_it_is_the_same_every_time_and_needs_no_directory(data, monkeypatch, no_global_generator):
    monkeypatch.setenv("CREDIT_DATA", "/nowhere")
    again = load("teacher")
    for name in ("train_images", "train_labels", "test_images", "test_labels"):
        assert torch.equal(getattr(again, name), getattr(data, name))
    assert data.digest == again.digest == "74ee85820f978d6a"
    assert fallback("teacher") == ("teacher", None)


def test_labels_do_not_depend_on_the_number_of_threads(data):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert load("teacher").digest == data.digest
    finally:
        torch.set_num_threads(before)


def test_labels_are_a_function_of_the_quantised_inputs(data):
    """And rounding errors are too small to change one."""
    images = torch.cat([data.train_images, data.test_images])
    logits, labels = teacher.logits(images), torch.cat([data.train_labels, data.test_labels])
    assert torch.equal(logits.argmax(1), labels)
    leading = logits.topk(2, 1).values
    assert (leading[:, 0] - leading[:, 1]).min() > 1e-6
    # one sample at a time, whatever stands beside it
    order = torch.randperm(2048, generator=torch.Generator().manual_seed(0))[:300]
    chosen = torch.cat([data.train_images, data.test_images[order]])
    assert torch.equal(teacher.logits(chosen)[10_000:].argmax(1), data.test_labels[order])


def test_normalised_inputs_are_standard_normal(data):
    for images, labels in (
        held_out(data, F64),
        next(train_batches(data, [1], 0, 10_000, False, F64)),
    ):
        assert images.abs().max() <= 4 + 1e-9
        assert images.mean(0).abs().max() < 0.1
        assert (images.std(0) - 1).abs().max() < 0.1
        assert len(images) == len(labels)
