"""Local losses (Nokland & Eidnes 2019, arXiv:1901.06656; Belilovsky et al. 2019, arXiv:1812.11446).

Every hidden state has a classifier, and learns to make its label easy to read there.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from credit.networks.arithmetic import losses, output_error
from credit.rules.base import Costs, Look, Rule, Shape, State, Trace


@dataclass(frozen=True)
class LocalLoss(Rule):
    """a_l = gradient at h_l of the cross-entropy of softmax(W_l h_l + b_l), below h_L; a_L = g_L.

    (W_l, b_l) reads all units of h_l and is trained beside the network, by AdamW with
    `estimator_lr` on the mean loss of the batch. It starts as PyTorch's Linear does. The sources'
    prediction loss alone: no similarity matching, no convolution or pooling before the readout.
    """

    look = Look("#A0B7A3", "s", 25)
    learned = True
    exact_at_output = True
    published_reduction = "sum"
    per_sample = True
    estimator_lr: float = 1e-3
    estimator_every: int = 1

    def init(self, spec, shape: Shape, generator: torch.Generator) -> State:
        state = {}
        for layer, units in enumerate(shape.units[:-1]):
            draw = torch.rand(shape.classes, units + 1, generator=generator) * 2 - 1
            state[f"estimator/{layer:03d}.weight"] = draw[:, 1:] * units**-0.5
            state[f"estimator/{layer:03d}.bias"] = draw[:, 0] * units**-0.5
        return state

    def gradients(self, state: State, trace: Trace) -> tuple[State, dict[str, Tensor]]:
        def loss(params: State) -> tuple[Tensor, Tensor]:
            read = [_read(params, trace, layer) for layer in range(trace.depth)]
            each = torch.stack([losses(logits, trace.labels).mean() for logits in read])
            return each.sum(), each.mean()

        params = {key: value for key, value in state.items() if key.startswith("estimator/")}
        grads, mean = torch.func.grad(loss, has_aux=True)(params)
        return grads, {"loss": mean}

    def credit(self, state: State, trace: Trace) -> list[Tensor]:
        credits = [
            output_error(_read(state, trace, layer), trace.labels)
            @ state[f"estimator/{layer:03d}.weight"]
            for layer in range(trace.depth)
        ]
        return [*credits, trace.grad_out]

    def costs(self, shape: Shape) -> Costs:
        readouts = shape.classes * sum(shape.units[:-1])
        return Costs(credit=2 * readouts, learning=2 * readouts // self.estimator_every)


def _read(params: State, trace: Trace, layer: int) -> Tensor:
    """Logits (N, C) at a hidden state."""
    weight, bias = (params[f"estimator/{layer:03d}.{part}"] for part in ("weight", "bias"))
    return F.linear(trace.hiddens[layer], weight, bias)


RULE = LocalLoss()
