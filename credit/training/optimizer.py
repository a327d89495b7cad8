"""AdamW over slices of a stack's tensors, and the clipping of what it is given.

AdamW acts on every number by itself, so one optimizer over all parts equals one for each.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

Moments = Mapping[str, tuple[Tensor, Tensor]]
"""AdamW's first and second moment of every parameter, by name."""


def recorded(device: torch.device) -> bool:
    """Return whether steps on this device are recorded as a graph."""
    return device.type == "cuda"


def adamw(
    views: Sequence[Tensor],
    moments: Sequence[tuple[Tensor, Tensor]],
    lr: float,
    weight_decay: float = 0.01,
    lr_changes: bool = False,
) -> torch.optim.AdamW:
    """AdamW that keeps its moments in the given tensors. On a GPU its steps can be recorded.

    A learning rate that changes is a tensor there, which a recorded step reads at every replay.
    """
    device = views[0].device
    capturable = recorded(device)
    optimizer = torch.optim.AdamW(
        list(views), lr, weight_decay=weight_decay, fused=True, capturable=capturable
    )
    for view, (first, second) in zip(views, moments, strict=True):
        count = torch.tensor(0.0, device=device)
        optimizer.state[view] = {"step": count, "exp_avg": first, "exp_avg_sq": second}
    if capturable and lr_changes:
        optimizer.param_groups[0]["lr"] = torch.tensor(lr, device=device)
    return optimizer


def set_lr(optimizer: torch.optim.AdamW | None, lr: float) -> None:
    """Learning rate of the coming steps."""
    for group in optimizer.param_groups if optimizer else ():
        rate = group["lr"]  # a graph reads a tensor anew
        group["lr"] = rate.fill_(lr) if isinstance(rate, Tensor) else lr


def decay(optimizer: torch.optim.AdamW, like: Tensor) -> Tensor:
    """The share of a weight that a step's weight decay takes, of the type of `like`."""
    group = optimizer.param_groups[0]
    lr = torch.as_tensor(group["lr"], dtype=like.dtype, device=like.device)
    return lr * group["weight_decay"]


def set_steps(optimizer: torch.optim.AdamW | None, steps: int) -> None:
    """Continue the bias correction from `steps`."""
    for state in optimizer.state.values() if optimizer else ():
        state["step"].fill_(float(steps))


def clipped(grads: list[Tensor], limit: Tensor | None) -> list[Tensor]:
    """Scale a block's gradients, (R, ...) each, to norm `limit` (R,) per row where they exceed it.

    The rule of `torch.nn.utils.clip_grad_norm_`, for every row by itself. `limit` is None where no
    row has one.
    """
    if limit is None or not grads:  # a block without parameters, such as a pooling
        return grads
    norms = torch.stack([torch.linalg.vector_norm(g.flatten(1), dim=1) for g in grads])
    scale = (limit / (torch.linalg.vector_norm(norms, dim=0) + 1e-6)).clamp(max=1.0)
    return [grad.mul_(scale.view(-1, *[1] * (grad.dim() - 1))) for grad in grads]
