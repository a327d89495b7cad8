"""The same model in float64: where it finds the same gradients, they are a reference."""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from credit.diagnosis.passes import Passes, mapped
from credit.measures import agreement


class Double:
    """A copy of a model in float64, made at the first micro-batch that asks.

    It costs 8 bytes a parameter, and a pass of each micro-batch; nothing where states are float64.
    `missing` says why there is no copy.
    """

    def __init__(self, passes: Passes) -> None:
        self.passes = passes
        self.copied: Passes | None = None
        self.missing = ""

    def cosines(self, x: Any, y: Any, grads: Sequence[Tensor]) -> list[Tensor] | None:
        """Return each sample's cosine of its gradients with float64's, (n,) each, or None."""
        exact: Sequence[Tensor | None] = grads
        if any(g.dtype != torch.float64 for g in grads):
            if self.passes.training:
                self.missing = "no float64 copy in training mode"
            if self.missing:
                return None
            try:
                exact = self._grads(x, y)
            except Exception as error:  # the model may be anything
                self.copied, self.missing = None, f"no float64 copy: {type(error).__name__}"
                return None
        pairs = zip(grads, exact, strict=True)
        return [agreement.cosine(g.flatten(1), e.flatten(1)) for g, e in pairs if e is not None]

    def _grads(self, x: Any, y: Any) -> list[Tensor | None]:
        if self.copied is None:
            known: dict[int, Any] = {}
            model = copy.deepcopy(self.passes.model, known).double()
            layers = [(name, known[id(module)]) for name, module in self.passes.layers]
            own = self.passes
            self.copied = Passes(model, layers, own.forward, own.loss, training=False)
        return self.copied.see(mapped(x, _wide), mapped(y, _wide)).grads(keep=False)


def _wide(value: Tensor) -> Tensor:
    return value.double() if value.is_floating_point() else value
