"""From credit to cotangents: what the outputs of blocks and embedding are pulled along.

Shape legend: R runs of a lane, N batch, d units of a hidden state, L depth.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from credit import rules
from credit.rules import Shape, Trace
from credit.spec import RunSpec
from credit.training.group import Group


def trains_exactly(spec: RunSpec) -> bool:
    """Return whether a run's block gradients go on from its exact gradients, pulled to fc1 already.

    On a GPU all blocks are computed at once, those of other rules among them.
    """
    by_hand = spec.network == RunSpec.network and not spec.device.startswith("cuda")
    return by_hand and rules.of(spec) == rules.get("bp") and not spec.penalty


def cotangents(
    groups: Sequence[Group], traces: Sequence[Trace], shape: Shape, eps: Tensor, merge: bool
) -> list[Tensor]:
    """Return the cotangent of every block's output, and last the embedding's, L + 1 x (R, N, d).

    Local rules: norm(credit) / N, the gradient of mean_n <output, norm(credit)>. Backprop: the
    credit as it is.

    Args:
        eps: of norm(v) = v / (rms(v) + eps), (R, 1, 1).
        merge: compute all layers, which are alike, at once.
    """
    samples, units, depth = traces[0].error.shape[-2], shape.units, shape.depth
    smallest = torch.finfo(eps.dtype).tiny  # norm(0) = 0 also where eps = 0
    sizes = [(len(eps), samples, d) for d in [*units[1:], units[0]]]
    sizes = [(depth + 1, *sizes[0])] if merge else sizes
    found = [traces[0].error.new_empty(size) for size in sizes]
    for group, trace in zip(groups, traces, strict=True):
        credits = group.credits(trace)
        rows, first = group.rows, group.rule.block_credit if shape.even else 1
        chosen = [*credits[first : first + depth], credits[0]]
        chosen = [torch.stack(chosen)] if merge else chosen
        for whole, credit in zip(found, chosen, strict=True):
            cotangent = whole.narrow(-3, rows.start, rows.stop - rows.start)
            if not group.rule.surrogate:
                cotangent.copy_(credit)
                continue
            if group.unbraked:  # squares of what eps would have stopped may underflow
                peak = credit.abs().amax(-1, keepdim=True).clamp_(min=smallest)
                rms = torch.linalg.vector_norm(credit / peak, dim=-1, keepdim=True) * peak
            else:
                rms = torch.linalg.vector_norm(credit, dim=-1, keepdim=True)
            rms = rms * credit.shape[-1] ** -0.5
            scale = 1 / ((rms + eps[rows]).clamp_(min=smallest) * samples)
            torch.mul(credit, scale, out=cotangent)
    return list(found[0]) if merge else found
