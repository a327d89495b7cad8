"""What a credit rule is.

A rule says which credit a_l every hidden state h_l deserves. Everything else (surrogate losses,
clipping, optimizers, freezing, measuring) is shared by all rules, backprop included, so that two
rules differ in their credit and in nothing else. Rules are written for ONE run; the trainer lifts
them over a stack with `torch.func.vmap`.
"""

from typing import TYPE_CHECKING, ClassVar, NamedTuple

import torch
from torch import Tensor

if TYPE_CHECKING:
    from credit.spec import RunSpec

State = dict[str, Tensor]
"""What a rule carries: feedback matrices, estimator parameters. Saved in every checkpoint."""


class Shape(NamedTuple):
    """The network a rule serves."""

    d_in: int
    width: int
    classes: int
    depth: int


class Trace(NamedTuple):
    """What one step shows a rule. N batch, d width, C classes, L depth.

    Gradients belong to the batch-mean loss or to the batch-sum loss, as `credit_reduction` says.
    """

    hiddens: list[Tensor]  # h_0 .. h_L, each (N, d)
    logits: Tensor  # (N, C)
    labels: Tensor  # (N,)
    error: Tensor  # (N, C), loss gradient at the logits: softmax(logits) - onehot(labels), reduced
    grad_out: Tensor  # (N, d), loss gradient at h_L; local, it needs no pass through the blocks
    hidden_grads: list[Tensor]  # g_0 .. g_L for rules with `reads_hidden_grads`, else empty


class Rule:
    """Base of all rules. Subclass it, set the facts, write `init` and `credit`."""

    local: ClassVar[bool] = True
    """Credit needs no backward pass through the blocks."""
    learned: ClassVar[bool] = False
    """`update` changes the state."""
    exact_at_output: ClassVar[bool] = False
    """a_L is the true gradient g_L by construction."""
    reads_hidden_grads: ClassVar[bool] = False
    """`credit` is shown the exact g_0 .. g_L; only reference rules may."""
    surrogate: ClassVar[bool] = True
    """Blocks and embedding train on mean_n <output, norm(credit)>, block gradients clipped.
    False: on the credit as it is, without clipping (backprop)."""
    block_credit: ClassVar[int] = 1
    """Block l trains on a_{l + block_credit}. f_l's output lands in h_{l+1}, hence 1."""
    published_reduction: ClassVar[str] = "mean"
    """What `credit_reduction=published` means for this rule."""

    def init(self, spec: "RunSpec", shape: Shape, generator: torch.Generator) -> State:
        """The state before training, drawn from `generator` in float32."""
        return {}

    def credit(self, state: State, trace: Trace) -> list[Tensor]:
        """a_0 .. a_L, each (N, d). Pure: no in-place change of its arguments, no random numbers."""
        raise NotImplementedError

    def products(self, shape: Shape) -> int:
        """Multiply-adds that one sample's credit costs, for cost accounts and even lanes.

        Default: of the exact gradients, for rules that read them, else none.
        """
        return 2 * shape.depth * shape.width**2 if self.reads_hidden_grads else 0

    def update(
        self, state: State, trace: Trace, generator: torch.Generator
    ) -> tuple[State, dict[str, Tensor]]:
        """The state after this step, and scalars to log as `estimator/...`. Default: unchanged."""
        return state, {}
