"""A dataset: raw images, labels, and the facts that preprocessing needs.

Shape legend: n images, C channels, H x W pixels, D = C*H*W input units.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images and labels, all on one device."""

    name: str
    train_images: Tensor
    """uint8 (n_train, C, H, W), raw pixels."""
    train_labels: Tensor
    """int64 (n_train,)."""
    test_images: Tensor
    """uint8 (n_test, C, H, W)."""
    test_labels: Tensor
    """int64 (n_test,)."""
    classes: int
    mean: tuple[float, ...]
    """Per channel, of pixels scaled to 0..1."""
    std: tuple[float, ...]
    pad: int
    """Zero pixels added on every side before the random crop back to H x W."""
    flip: bool
    """Whether a horizontally flipped image keeps its label."""
    digest: str
    """16 hex digits of the SHA-256 of both splits' images and labels, as held here."""
    source: str
    """Where the original comes from: a URL or a function."""

    @property
    def d_in(self) -> int:
        """D, the number of input units."""
        return self.train_images[0].numel()

    @property
    def n_train(self) -> int:
        """Training images held here."""
        return len(self.train_images)

    @cached_property
    def crops(self) -> Tensor:
        """Every H x W crop of the padded training images, as a view without copies.

        uint8 (positions, C, H, W), where position `i * image_stride + top * row_stride + left` is
        the crop of padded image i at (top, left). A flipping dataset holds the mirrored images
        after the others, as images n_train .. 2*n_train - 1, so that a flip is free at each step.
        Positions whose window wraps past an image's edge exist and mean nothing. Made on first use
        and kept: 480 MB for CIFAR-10.
        """
        n, channels, height, width = self.train_images.shape
        rows, columns = height + 2 * self.pad, width + 2 * self.pad
        copies = 2 if self.flip else 1
        padded = self.train_images.new_zeros(copies, n, channels, rows, columns)
        inner = padded[..., self.pad : self.pad + height, self.pad : self.pad + width]
        inner[0] = self.train_images
        if self.flip:
            inner[1] = self.train_images.flip(-1)
        extent = (channels - 1) * rows * columns + (height - 1) * columns + width
        return padded.as_strided(
            (padded.numel() - extent + 1, channels, height, width), (1, rows * columns, columns, 1)
        )

    @cached_property
    def affine(self) -> Tensor:
        """`affine` on the device."""
        return affine(self.mean, self.std, self.d_in).to(self.train_images.device)


def affine(mean: Sequence[float], std: Sequence[float], d_in: int) -> Tensor:
    """float64 (2, D): scale and shift with `(x/255 - mean)/std = x * scale + shift`."""
    means, stds = torch.tensor([mean, std], dtype=torch.float64)
    pixels = d_in // len(mean)
    return torch.stack([1 / (255 * stds), -means / stds]).repeat_interleave(pixels, dim=1)
