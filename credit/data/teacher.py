"""`teacher`: a synthetic classification set, labelled by a random residual tanh network.

Made, not downloaded, and the same for every run, so that a student's activation changes the student
alone. Inputs are standard normal numbers, quantised to 8 bits so that they are held, batched and
normalised like the pixels of an image; normalised, they lie in -4 .. 4. A label is an exact
function of the quantised input.

The teacher has 4 blocks h + W2 tanh(W1 LN(h) + b) of 128 units and a linear readout. Logits are
then centred and scaled to unit deviation, both over the training inputs, and the label is the
largest: classes hold 8 to 13 % each. Most of what such a network says is linear in its input, and
for that a student needs no block: of each logit's best linear prediction from the input only the
share `LINEAR_SHARE` is kept. There are fewer inputs than units, because a few thousand samples
determine only so much of a nonlinear function, and not fewer, because what learns from hidden
states learns the loss's slope only in directions that the inputs fill. A bench for credit, not for
accuracy: a student trained by backprop overfits a few thousand samples.

Everything is drawn from two streams and computed in float64 on the CPU. No label leads by less
than 1e-5, no input is nearer than 1e-6 steps to where rounding turns: far more than the rounding
errors in which machines differ.

Shape legend: n samples, D inputs, W units, C classes.
"""

import torch
from torch import Tensor
from torch.nn.functional import layer_norm

from credit.randomness import generator

TRAIN, TEST = 10_000, 2048
INPUTS, WIDTH, BLOCKS, CLASSES = 24, 128, 4, 10
MEAN, STD = 0.5, 1 / 8
"""Of inputs as they are held, scaled to 0..1."""
LINEAR_SHARE = 0.3
"""Of the logits' linear part; 1 would keep the network's own."""


def splits() -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """(train_images, train_labels), (test_images, test_labels).

    Images are uint8 (n, 1, 1, D), labels int64 (n,).
    """
    inputs = _normal(generator(0, "teacher", 0), TRAIN + TEST, INPUTS)
    levels = ((inputs * STD + MEAN) * 255).round().clamp(0, 255)
    images = levels.to(torch.uint8).view(-1, 1, 1, INPUTS)
    labels = logits(images).argmax(1)
    return (images[:TRAIN], labels[:TRAIN]), (images[TRAIN:], labels[TRAIN:])


def logits(images: Tensor) -> Tensor:
    """The teacher's, float64 (n, C), of uint8 images (n, 1, 1, D) on the CPU.

    The first `TRAIN` images decide on the linear part, the centre and the scale, so begin with the
    training images.
    """
    x = (images.flatten(1).double() / 255 - MEAN) / STD
    y = _network(x)
    x, y = x - x[:TRAIN].mean(0), y - y[:TRAIN].mean(0)
    y = y - (1 - LINEAR_SHARE) * (x @ torch.linalg.lstsq(x[:TRAIN], y[:TRAIN]).solution)
    return y / y[:TRAIN].std(0)


def _network(x: Tensor) -> Tensor:
    """(n, D) -> (n, C). Weights are N(0, 1/fan_in), b is N(0, 1)."""
    draws = generator(0, "teacher", 1)
    h = x @ (_normal(draws, INPUTS, WIDTH) / INPUTS**0.5)
    for _ in range(BLOCKS):
        w1 = _normal(draws, WIDTH, WIDTH) / WIDTH**0.5
        b = _normal(draws, WIDTH)
        w2 = _normal(draws, WIDTH, WIDTH) / WIDTH**0.5
        h = h + (layer_norm(h, (WIDTH,)) @ w1 + b).tanh() @ w2
    return h @ (_normal(draws, WIDTH, CLASSES) / WIDTH**0.5)


def _normal(draws: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=draws)
