"""A torchvision ResNet-18 learns digits by backprop; random feedback to its stages is audited.

Would the error, sent to every stage through a fixed random matrix, point where the gradient points?
Each epoch's answer is in the MLflow run: Γ, ρ, nudges, norms and growth, by stage.

    python -m examples.diagnose_resnet
"""

import argparse
import functools
import math

import mlflow
import torch
from sklearn.datasets import load_digits
from torch import Tensor
from torch.nn import functional as F
from torchvision.models import resnet18

import credit


@functools.cache
def feedback(shape: torch.Size) -> Tensor:
    """Return the random matrix of a stage, (10, numbers of its hidden state)."""
    return torch.randn(10, shape.numel()) / math.sqrt(10)


def broadcast(hiddens: list[Tensor], logits: Tensor, y: Tensor) -> list[Tensor]:
    """Return the output's error through a random matrix per stage."""
    error = logits.softmax(-1) - F.one_hot(y, 10)
    return [(error @ feedback(h[0].shape)).view_as(h) for h in hiddens]


def main(arguments: list[str] | None = None) -> None:
    """Train for some epochs, and diagnose after each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--samples", type=int, default=1024)
    given = parser.parse_args(arguments)
    digits, targets = load_digits(return_X_y=True)
    images = torch.tensor(digits, dtype=torch.float32).view(-1, 1, 8, 8) / 16
    x = F.interpolate(images, size=32).expand(-1, 3, -1, -1)[: given.samples]
    y = torch.tensor(targets)[: given.samples]
    model = resnet18(num_classes=10)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    with mlflow.start_run(run_name="resnet18 on digits"):
        for epoch in range(given.epochs):
            for batch in torch.randperm(len(x)).split(64):
                optimizer.zero_grad()
                F.cross_entropy(model(x[batch]), y[batch]).backward()
                optimizer.step()
            diagnosis = credit.diagnose(model, x[:256], y[:256], credit=broadcast)
            diagnosis.log(step=epoch)
        mlflow.log_figure(diagnosis.figure(), "diagnosis.png")
        print(diagnosis)


if __name__ == "__main__":
    main()
