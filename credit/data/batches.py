"""Epoch batches: order, random crop, flip and normalisation, all on the dataset's device.

Shape legend: S seeds, n training images, N batch, C x H x W image, D = C*H*W input units.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from credit.data.dataset import Dataset
from credit.randomness import generator as stream


class Augmentation(NamedTuple):
    """One epoch's draws on the CPU. Entry i belongs to training image i, whatever the order."""

    top: Tensor  # int64 (n,), first row of the crop in the padded image, 0..2*pad
    left: Tensor  # int64 (n,), first column
    flip: Tensor  # bool (n,), mirror the cropped image; all False where the dataset does not flip


def order(data: Dataset, seed: int, epoch: int) -> Tensor:
    """The order in which `seed` sees the training images in `epoch`: int64 (n,), on the CPU."""
    return torch.randperm(data.n_train, generator=stream(seed, "order", epoch))


def augmentation(data: Dataset, seed: int, epoch: int) -> Augmentation:
    """The crop offsets and flips that `seed` draws for `epoch`."""
    source = stream(seed, "augmentation", epoch)
    top, left = torch.randint(2 * data.pad + 1, (2, data.n_train), generator=source)
    flip = torch.rand(data.n_train, generator=source) < 0.5
    return Augmentation(top, left, flip & data.flip)


def train_batches(
    data: Dataset,
    seeds: Sequence[int],
    epoch: int,
    batch_size: int,
    augment: bool,
    dtype: torch.dtype,
) -> Iterator[tuple[Tensor, Tensor]]:
    """One epoch: x of `dtype`, (N, D) or, of several seeds, (S, N, D), with y int64, as deep.

    The last short batch is kept. A seed's batches do not depend on the seeds beside it. Every
    yielded tensor is new memory. Nothing waits for the device: draws are made on the CPU and moved
    once per epoch.
    """
    orders = torch.stack([order(data, seed, epoch) for seed in seeds])
    images, places = data.train_images, orders
    if augment:
        images = data.crops
        draws = (augmentation(data, seed, epoch) for seed in seeds)
        crops = torch.stack([_positions(data, drawn) for drawn in draws])
        places = crops.gather(1, orders)
    # batch after batch, and seed after seed within a batch: each step is then one slice
    per_step = zip(places.split(batch_size, 1), orders.split(batch_size, 1), strict=True)
    flat = torch.cat([torch.stack([p.flatten(), o.flatten()]) for p, o in per_step], dim=1)
    places, samples = _moved(flat, images.device)
    labels = data.train_labels.index_select(0, samples)

    runs = () if len(seeds) == 1 else (len(seeds),)
    scale, shift = data.affine.to(dtype)
    step = len(seeds) * batch_size
    for place, y in zip(places.split(step), labels.split(step), strict=True):
        x = scaled(images.index_select(0, place), scale, shift)
        yield x.view(*runs, -1, data.d_in), y.view(*runs, -1)


def _positions(data: Dataset, draws: Augmentation) -> Tensor:
    """Where `data.crops` holds each training image's crop: int64 (n,)."""
    _, channel_stride, row_stride, _ = data.crops.stride()
    image_stride = data.train_images.shape[1] * channel_stride
    image = torch.arange(data.n_train) + data.n_train * draws.flip
    left = torch.where(draws.flip, 2 * data.pad - draws.left, draws.left)
    return image * image_stride + draws.top * row_stride + left


def _moved(tensor: Tensor, device: torch.device) -> Tensor:
    """To the device; from pinned memory to a GPU, because only that copy does not wait."""
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def scaled(images: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """uint8 (n, C, H, W) -> (n, D) in the dtype of scale and shift, each (D,)."""
    x = images.flatten(1).to(scale.dtype)
    return torch.addcmul(shift, x, scale, out=x)


def normalise(images_uint8: Tensor, data: Dataset, dtype: torch.dtype) -> Tensor:
    """(x/255 - mean)/std, flattened in C, H, W order. uint8 (n, C, H, W) -> (n, D)."""
    scale, shift = data.affine.to(dtype)
    return scaled(images_uint8, scale, shift)


def held_out(data: Dataset, dtype: torch.dtype, n: int = 0) -> tuple[Tensor, Tensor]:
    """Normalised test inputs (n, D) and their labels (n,): the first n in file order.

    0, or more than there are, means all of them.
    """
    count = min(n, len(data.test_labels)) or len(data.test_labels)
    return normalise(data.test_images[:count], data, dtype), data.test_labels[:count]
