"""A small transformer names the token before each one; the gradient's signs are audited as credit.

The model takes two tensors, targets are one per token, and so the loss of a sample is a mean over
its tokens: `loss=` says so. Signs alone keep most of a direction, and lose its size.

    python -m examples.diagnose_transformer
"""

import argparse

import mlflow
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import credit

TOKENS, LENGTH = 16, 12


class Transformer(nn.Module):
    """Tokens and their positions, three encoder layers, a guess at each place."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(TOKENS, width), nn.Embedding(LENGTH, width)
        layer = nn.TransformerEncoderLayer(width, 2, 64, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False)
        self.head = nn.Linear(width, TOKENS)

    def forward(self, tokens: Tensor, places: Tensor) -> Tensor:
        """Return logits (N, LENGTH, TOKENS). tokens, places (N, LENGTH)."""
        return self.head(self.encoder(self.tokens(tokens) + self.places(places)))


def loss(logits: Tensor, y: Tensor) -> Tensor:
    """Return the loss of each sample, (N,)."""
    return F.cross_entropy(logits.transpose(1, 2), y, reduction="none").mean(-1)


def signs(hiddens: list[Tensor], logits: Tensor, y: Tensor) -> list[Tensor]:
    """Return the signs of the gradient."""
    return [g.sign() for g in torch.autograd.grad(loss(logits, y).sum(), hiddens)]


def main(arguments: list[str] | None = None) -> None:
    """Train for some steps, and diagnose now and then."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--every", type=int, default=100)
    given = parser.parse_args(arguments)
    model = Transformer()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    with mlflow.start_run(run_name="the token before"):
        for step in range(1, given.steps + 1):
            tokens = torch.randint(TOKENS, (64, LENGTH))
            x, y = (tokens, torch.arange(LENGTH).expand_as(tokens)), tokens.roll(1, dims=1)
            optimizer.zero_grad()
            loss(model(*x), y).mean().backward()
            optimizer.step()
            if step % given.every == 0:
                diagnosis = credit.diagnose(model, x, y, loss=loss, credit=signs)
                diagnosis.log(step=step)
                print(f"step {step}\n{diagnosis}\n")


if __name__ == "__main__":
    main()
