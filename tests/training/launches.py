"""Kernels that a GPU would launch for a step, counted on fake tensors.

One for every operation that computes or copies; none for views and for memory that nobody writes.
Operations on lists of tensors are counted as torch packs them: a launch holds so many tensors, and
so many blocks of 65,536 numbers (`ATen/native/cuda/MultiTensorApply.cuh`). Kernels that a library
adds behind one operation, such as a product that is split and summed, are not seen.
"""

from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

CHUNK, BLOCKS = 65_536, 320
TENSORS = {1: 110, 2: 64, 3: 48, 4: 36, 5: 30}
"""Tensors that one launch holds, by how many lists it reads."""
FREE = ("_unsafe_view", "empty", "new_empty", "empty_like", "empty_strided", "detach", "lift_fresh")
ADAMW = (torch.ops.aten._fused_adamw_.default, torch.ops.aten._fused_adamw_.tensor_lr)


class Launches(TorchDispatchMode):
    """Counts them by operation in `found`."""

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[str] = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func._schema.name.rpartition("::")[2]
        lists = [a for a in args if isinstance(a, list | tuple) and _any_tensor(a)]
        if func in ADAMW:  # there is none without numbers
            self.found[name] += packed(args[0], 4)
            return None
        result = func(*args, **(kwargs or {}))
        if name.startswith("_foreach"):
            self.found[name] += packed(lists[0], len(lists) + (not name.endswith("_")))
        elif not func.is_view and name not in FREE and _any_tensor(result):
            self.found[name] += 1
        return result


def _any_tensor(tree: object) -> bool:
    return any(isinstance(leaf, Tensor) for leaf in tree_leaves(tree))


def packed(tensors: Sequence[Tensor], lists: int) -> int:
    """Return how many launches take these tensors, of which each is in so many lists."""
    launches = held = blocks = 0
    for tensor in tensors:
        left = -(-tensor.numel() // CHUNK)
        held += 1
        while left:
            taken = min(left, BLOCKS - blocks)
            left, blocks = left - taken, blocks + taken
            if blocks == BLOCKS or (held == TENSORS[lists] and not left):
                launches, blocks = launches + 1, 0
                held = 1 if left else 0
    return launches + (blocks > 0)
