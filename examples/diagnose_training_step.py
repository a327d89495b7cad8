"""A model in Lightning's style, audited by two lines at the end of each epoch of a plain loop.

`training_step` and `configure_optimizers` are what Lightning calls; nothing else of it is needed.
In a callback the two lines are the same, with `trainer.current_epoch` as the step. Without a credit
the network alone is audited: do hidden states grow, is the gradient at the output a number?

    python -m examples.diagnose_training_step
"""

import argparse

import mlflow
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F

import credit


class Classifier(nn.Module):
    """Digits by a network of normalised layers."""

    def __init__(self, width: int = 64, depth: int = 4) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(nn.LazyLinear(width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(0.1))
            for _ in range(depth)
        )
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (N, 10). x (N, 64)."""
        for layer in self.layers:
            x = layer(x)
        return self.head(x)

    def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """Return the loss of a batch."""
        x, y = batch
        return F.cross_entropy(self(x), y)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return what trains the parameters."""
        return torch.optim.AdamW(self.parameters(), lr=2e-3)


def main(arguments: list[str] | None = None) -> None:
    """Train for some epochs, and diagnose after each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=5)
    given = parser.parse_args(arguments)
    digits, targets = load_digits(return_X_y=True)
    x, y = torch.tensor(digits, dtype=torch.float32) / 16, torch.tensor(targets)
    data = torch.utils.data.TensorDataset(x[:1500], y[:1500])
    model = Classifier()
    model(x[:2])  # gives lazy layers their shapes
    optimizer = model.configure_optimizers()
    with mlflow.start_run(run_name="digits"):
        for epoch in range(given.epochs):
            for batch in torch.utils.data.DataLoader(data, batch_size=64, shuffle=True):
                optimizer.zero_grad()
                model.training_step(batch).backward()
                optimizer.step()
            diagnosis = credit.diagnose(model, x[1500:], y[1500:])
            diagnosis.log(step=epoch)
            print(f"epoch {epoch}\n{diagnosis}\n")


if __name__ == "__main__":
    main()
