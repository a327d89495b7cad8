"""A plain multilayer perceptron: h_{l+1} = act(W_l h_l + b_l), without skips and norms."""

import math

from torch import Tensor, nn

from credit.networks.module import Parts

QUICK: dict[str, str] = {}


def network(
    image: tuple[int, ...], classes: int, width: int, depth: int, activation: str, alpha: float
) -> nn.Module:
    """Return the network; the embedding is W h + b, and the activation that of every block."""
    embed = nn.Sequential(nn.Flatten(), nn.Linear(math.prod(image), width))
    blocks = [
        nn.Sequential(nn.Linear(width, width), activation_of(activation, alpha))
        for _ in range(depth)
    ]
    return Parts(embed, blocks, nn.Linear(width, classes))


class Phi(nn.Module):
    """(1 - alpha) z + alpha tanh(z)."""

    def __init__(self, alpha: float) -> None:
        super().__init__()
        self.alpha = alpha

    def forward(self, z: Tensor) -> Tensor:
        return z.lerp(z.tanh(), self.alpha)


def activation_of(name: str, alpha: float) -> nn.Module:
    """Return the activation `name`, one of RunSpec's; `alpha` is phi's."""
    kinds = {"gelu": nn.GELU, "relu": nn.ReLU, "tanh": nn.Tanh}
    return Phi(alpha) if name == "phi" else kinds[name]()
