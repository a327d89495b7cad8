"""A small convolutional network: conv 3x3, BatchNorm, ReLU in every block, halved as it goes.

The last block has `width` channels, each before it half of the next, at least 8. Blocks pool by 2
while the image has 4 pixels and more. BatchNorm has the statistics of the batch, in tests too. At
d=256, L=4 it has .4 M parameters.
"""

from itertools import pairwise

from torch import Tensor, nn

from credit.errors import CreditError
from credit.networks.module import Parts

QUICK = {"width": "64", "depth": "4", "train_samples": "4000", "epochs": "4"}
SMALLEST = 4
"""Pixels of a side that is not pooled any more."""


def normed(channels: int) -> nn.Module:
    """BatchNorm on the statistics of the batch."""
    return nn.BatchNorm2d(channels, track_running_stats=False)


def convolution(channels: int, out: int, stride: int = 1) -> nn.Module:
    """A 3x3 convolution that keeps the size, but for its stride."""
    return nn.Conv2d(channels, out, 3, stride=stride, padding=1, bias=False)


class PooledHead(nn.Linear):
    """Logits of the mean over positions."""

    def forward(self, h: Tensor) -> Tensor:
        return super().forward(h.mean((-2, -1)))


def check_image(name: str, image: tuple[int, ...]) -> None:
    """Refuse inputs that are no images.

    Raises:
        CreditError: they are not.
    """
    if len(image) != 3 or min(image[1:]) < SMALLEST:
        raise CreditError(f"network={name} takes images, not {image}: choose another dataset")


def network(image: tuple[int, ...], classes: int, width: int, depth: int) -> nn.Module:
    """Return the network for images."""
    check_image("small_cnn", image)
    channels = [max(8, width >> (depth - block)) for block in range(depth)] + [width]
    embed = nn.Sequential(convolution(image[0], channels[0]), normed(channels[0]), nn.ReLU())
    blocks, side = [], min(image[1:])
    for inner, outer in pairwise(channels):
        layers = [convolution(inner, outer), normed(outer), nn.ReLU()]
        if side >= SMALLEST:
            layers.append(nn.MaxPool2d(2))
            side //= 2
        blocks.append(nn.Sequential(*layers))
    return Parts(embed, blocks, PooledHead(width, classes))
