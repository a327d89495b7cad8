"""A ResNet-18 with BioTorch's backward passes: does its credit point where the gradient points?

BioTorch replaces the way back through convolutions and linear layers: by fixed random weights (fa),
from the error straight to every layer (dfa), or by the signs of the weights (usf). What arrives at
the hidden states is audited beside the gradient of the plain twin.

    pip install --no-deps biotorch
    python -m examples.biotorch_resnet
"""

import copy
import functools
from typing import Any

import torch
from biotorch.module.biomodule import BioModule  # pyright: ignore[reportMissingImports]
from torch import Tensor, nn
from torchvision.models import resnet18

import credit

MODES = ("fa", "dfa", "usf")


def forward(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Call a model; dfa's layers are handed the error by BioTorch, in training mode only."""
    if not isinstance(model, BioModule):
        return model(x)
    inner: Any = model.module
    inner.training = True  # of this module alone: normalisation is as in evaluation
    return model(x, y, functools.partial(nn.functional.cross_entropy, reduction="sum"))


def audit(mode: str, x: Tensor, y: Tensor) -> credit.Diagnosis:
    """Diagnose a new ResNet-18 in one of BioTorch's modes. x (N, 3, 32, 32), y (N,)."""
    plain = resnet18(num_classes=10)
    changed = BioModule(copy.deepcopy(plain), mode=mode, output_dim=10)
    return credit.diagnose(changed, x, y, credit="backward", reference=plain, forward=forward)


if __name__ == "__main__":
    torch.manual_seed(0)
    x, y = torch.randn(256, 3, 32, 32), torch.randint(0, 10, (256,))
    for mode in MODES:
        print(f"{mode}\n{audit(mode, x, y)}\n")
