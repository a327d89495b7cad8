"""A small residual network (He et al. 2016, arXiv:1512.03385): three stages of basic blocks.

Stages have width/4, width/2 and `width` channels and halve the image; L blocks are spread over
them. BatchNorm has the statistics of the batch, in tests too. At d=128, L=3 it has .3 M parameters.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from credit.networks.module import Parts
from credit.networks.small_cnn import PooledHead, check_image, convolution, normed

QUICK = {"width": "32", "depth": "3", "train_samples": "4000", "epochs": "4"}
STAGES = 3


class BasicBlock(nn.Module):
    """relu(shortcut(h) + BN(conv(relu(BN(conv(h)))))), a 1x1 shortcut where the form changes."""

    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = convolution(channels, out, stride), normed(out)
        self.conv2, self.bn2 = convolution(out, out), normed(out)
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or channels != out:
            projected = nn.Conv2d(channels, out, 1, stride=stride, bias=False)
            self.shortcut = nn.Sequential(projected, normed(out))

    def forward(self, h: Tensor) -> Tensor:
        inner = F.relu(self.bn1(self.conv1(h)))
        return F.relu(self.shortcut(h) + self.bn2(self.conv2(inner)))


def network(image: tuple[int, ...], classes: int, width: int, depth: int) -> nn.Module:
    """Return the network for images."""
    check_image("small_resnet", image)
    channels = [max(4, width >> (STAGES - 1 - stage)) for stage in range(STAGES)]
    embed = nn.Sequential(convolution(image[0], channels[0]), normed(channels[0]), nn.ReLU())
    blocks, inner = [], channels[0]
    for block in range(depth):
        stage = block * STAGES // depth
        first = stage > 0 and stage != (block - 1) * STAGES // depth
        blocks.append(BasicBlock(inner, channels[stage], 2 if first else 1))
        inner = channels[stage]
    return Parts(embed, blocks, PooledHead(inner, classes))
