"""What checkpoints ask of runs that train side by side: of a `Stack`, or of a `toy_lq` bundle."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from credit.spec import RunSpec
from credit.training.group import Group


@dataclass
class Tally:
    """What the steps of an epoch under way have added up to. A checkpoint holds it."""

    loss: Tensor  # (R,), sum of sample losses
    correct: Tensor  # (R,), samples classified correctly
    steps: int = 0
    seconds: float = 0.0
    whole: bool = True
    """A checkpoint now would hold all that the epoch needs to go on."""


class Trainable(Protocol):
    """R runs that are saved, restored and reported together, row by row."""

    specs: list[RunSpec]
    device: torch.device
    params: dict[str, Tensor]  # of the networks, (R, ...); empty where there are none
    moments: dict[str, tuple[Tensor, Tensor]]  # AdamW's, of the same
    optimizer_steps: int
    tally: Tally

    def group_of(self, row: int) -> tuple[Group, int]:
        """The group of a run, and its place there."""
        ...

    def set_optimizer_steps(self, steps: int) -> None:
        """Go on after `steps` steps."""

    def non_finite(self, row: int) -> str:
        """Return which tensor of a run is not finite; empty if all are."""
        ...
