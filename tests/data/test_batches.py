"""Epoch batches against a slow obvious implementation."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from credit.data.batches import augmentation, held_out, train_batches
from tests.data.slow import F32, F64, assert_same_batches, slow_batches, small


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 9),
    channels=st.integers(1, 3),
    height=st.integers(1, 6),
    width=st.integers(1, 6),
    pad=st.integers(0, 3),
    flip=st.booleans(),
    augment=st.booleans(),
    batch_size=st.integers(1, 10),
    seed=st.integers(0, 2**31),
    epoch=st.integers(0, 300),
    dtype=st.sampled_from([F32, F64]),
)
def test_batches_equal_the_slow_form(
    n, channels, height, width, pad, flip, augment, batch_size, seed, epoch, dtype
):
    data = small(n, channels, height, width, pad, flip, seed=seed)
    assert_same_batches(
        train_batches(data, [seed], epoch, batch_size, augment, dtype),
        slow_batches(data, seed, epoch, batch_size, augment, dtype),
    )


@pytest.mark.parametrize("augment", [True, False])
def test_a_seed_does_not_depend_on_the_seeds_beside_it(augment):
    data, seeds = small(), [42, 123, 456]
    together = list(train_batches(data, seeds, 3, 4, augment, F32))
    assert [tuple(x.shape) for x, _ in together] == [(3, 4, 108), (3, 4, 108), (3, 2, 108)]
    assert [tuple(y.shape) for _, y in together] == [(3, 4), (3, 4), (3, 2)]
    for position, seed in enumerate(seeds):
        alone = list(train_batches(data, [seed], 3, 4, augment, F32))
        for (x, y), (x_alone, y_alone) in zip(together, alone, strict=True):
            assert torch.equal(x[position], x_alone)
            assert torch.equal(y[position], y_alone)


def test_every_image_once_per_epoch_and_a_new_order_each_epoch_and_seed():
    data = small(n=50)

    def labels(seed, epoch):
        return torch.cat([y for _, y in train_batches(data, [seed], epoch, 8, True, F32)]).tolist()

    assert sorted(labels(1, 0)) == list(range(50))
    assert labels(1, 0) == labels(1, 0)
    assert labels(1, 0) != labels(1, 1)
    assert labels(1, 0) != labels(2, 0)


def test_augmentation_differs_by_epoch_and_covers_its_range():
    data = small(n=2000)
    first, second = augmentation(data, 1, 0), augmentation(data, 1, 1)
    assert not torch.equal(first.top, second.top)
    assert not torch.equal(first.flip, second.flip)
    assert not torch.equal(first.top, first.left)
    for offsets in (first.top, first.left):
        counts = offsets.bincount()
        assert len(counts) == 2 * data.pad + 1
        assert counts.min() > 300  # 400 expected, 18 standard deviation
    assert 880 < first.flip.sum() < 1120  # 1000 expected, 22 standard deviation
    assert not augmentation(small(flip=False), 1, 0).flip.any()


def test_held_out_takes_the_first_in_file_order():
    data = small()
    x, y = held_out(data, F64)
    assert x.shape == (7, data.d_in)
    assert y.tolist() == list(range(7))
    mean = torch.tensor(data.mean, dtype=F64)[:, None, None]
    std = torch.tensor(data.std, dtype=F64)[:, None, None]
    assert_close(x, ((data.test_images.to(F64) / 255 - mean) / std).flatten(1))
    few, labels = held_out(data, F64, 3)
    assert torch.equal(few, x[:3])
    assert labels.tolist() == [0, 1, 2]
    assert len(held_out(data, F64, 1000)[1]) == 7


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_an_epoch_on_the_gpu_equals_the_cpu_and_never_waits():
    host, device = small(n=50), small(n=50, device="cuda")
    list(train_batches(device, [1], 0, 8, True, F32))  # what is made once may wait
    torch.cuda.set_sync_debug_mode("error")
    try:
        batches = list(train_batches(device, [1, 2], 4, 8, True, F32))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    for (x, y), (x_host, y_host) in zip(
        batches, train_batches(host, [1, 2], 4, 8, True, F32), strict=True
    ):
        assert_close(x.cpu(), x_host)
        assert torch.equal(y.cpu(), y_host)
