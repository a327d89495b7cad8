"""What a credit rule is.

A rule says which credit a_l every hidden state h_l deserves. Everything else (surrogate losses,
clipping, optimizers, freezing, measuring) is shared by all rules, backprop included, so that two
rules differ in their credit and in nothing else. Rules are written for ONE run; the trainer lifts
them over a stack with `torch.func.vmap`.
"""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

import torch
from torch import Tensor

from credit.errors import CreditError
from credit.networks.arithmetic import losses
from credit.networks.base import Network, Params, Shape
from credit.rules.shared import options

if TYPE_CHECKING:
    from credit.spec import RunSpec

State = dict[str, Tensor]
"""What a rule carries: feedback matrices, estimator parameters. Saved in every checkpoint."""


class Look(NamedTuple):
    """How a rule looks in every figure, and its place in every table."""

    color: str
    """Hex digits, as in #0072B2."""
    marker: str
    """Of matplotlib."""
    place: int
    """Rules stand in tables and legends by it."""


class Costs(NamedTuple):
    """What a rule adds to the cost of one step, per sample: for accounts, lanes and memory."""

    credit: int = 0
    """Multiply-adds of the credit."""
    learning: int = 0
    """Multiply-adds of what the rule learns, averaged over steps."""
    passes: float = 0.0
    """Passes of the credit, forward or back through all blocks, at their cost."""
    evaluations: float = 0.0
    """Forward passes through a block, beside the network's own L."""
    scratch: int = 0
    """Numbers held for a while, beside the credits themselves."""


class Trace(NamedTuple):
    """What one step shows a rule. N batch, D inputs, d units of a state, C classes, L depth.

    Gradients belong to the batch-mean loss or to the batch-sum loss, as `credit_reduction` says.
    """

    hiddens: list[Tensor]
    """h_0 .. h_L, each (N, d)."""
    logits: Tensor
    """(N, C), of this forward pass."""
    labels: Tensor
    """(N,), the right classes."""
    error: Tensor
    """(N, C), loss gradient at the logits: softmax(logits) - onehot(labels), reduced."""
    grad_out: Tensor
    """(N, d), loss gradient at h_L; local, it needs no pass through the blocks."""
    hidden_grads: list[Tensor]
    """g_0 .. g_L for rules with `reads_hidden_grads`, else empty."""
    weights: Params
    """By name, for rules that ask for them, else empty."""
    inputs: Tensor
    """(N, D) for rules with `reads_input`, else (N, 0)."""
    noise: State
    """What `Rule.noise` has drawn."""
    network: Network[Any]
    """Of one run: its shape, and the names of its weights."""

    @property
    def depth(self) -> int:
        """L."""
        return len(self.hiddens) - 1

    @property
    def shape(self) -> Shape:
        """The network's dimensions."""
        return self.network.shape

    def advance(self, h: Tensor, layer: int) -> Tensor:
        """h_{layer+1} from any h_layer (..., d): one block forward."""
        return self.network.advance(self.weights, h, layer)

    def output_losses(self, h: Tensor, labels: Tensor) -> Tensor:
        """Loss of each row from any h_L (P, d) with labels (P,): what follows the last block."""
        return losses(self.network.head(self.weights, h), labels)

    def losses_from(self, h: Tensor, layer: int) -> Tensor:
        """Loss of each sample, (N,), rolled forward from any h_layer (N, d)."""
        return losses(self.network.tail(self.weights, h, layer), self.labels)

    def hiddens_of(self, x: Tensor) -> list[Tensor]:
        """h_0 .. h_L of other inputs (N, D), for rules with `reads_input`."""
        hiddens = [self.network.embed(self.weights, x)]
        for layer in range(self.depth):
            hiddens.append(self.advance(hiddens[-1], layer))
        return hiddens

    def pull(self, above: Tensor, layer: int, feedback: Mapping[str, Tensor]) -> Tensor:
        """Pass credit (N, d') at h_{layer+1} back through block `layer` to h_layer, (N, d).

        By the chain rule, but with the weights that `feedback` names replaced by its values.
        """
        hidden = self.hiddens[layer]
        return self.network.pull(self.weights, hidden, layer, above, feedback)


TRANSPORTS = ("none", "signs", "weights", "gradient")
"""What a credit may take from the network's weights, each more than the one before."""


class Rule:
    """Base of all rules. Subclass it, set the facts, write `init` and `credit`."""

    local: ClassVar[bool] = True
    """Credit needs no backward pass through the blocks."""
    learned: ClassVar[bool] = False
    """The state has entries `estimator/...`, which are trained on `gradients`."""
    exact_at_output: ClassVar[bool] = False
    """a_L is the true gradient g_L by construction."""
    reads_hidden_grads: ClassVar[bool] = False
    """`credit` is shown the exact g_0 .. g_L; only reference rules may."""
    reads_weights: ClassVar[bool] = False
    """`credit` is shown the weights of blocks and head, as rules that learn always are."""
    reads_input: ClassVar[bool] = False
    """`credit` is shown the batch, and the weights of the embedding, too; implies reads_weights."""
    follows: ClassVar[bool] = False
    """`followed` changes the state after every step; needs reads_weights."""
    surrogate: ClassVar[bool] = True
    """Blocks and embedding train on `mean_n <output, norm(credit)>`, block gradients clipped.
    False: on the credit as it is, without clipping (backprop)."""
    block_credit: ClassVar[int] = 1
    """Block l trains on a_{l + block_credit}. f_l's output lands in h_{l+1}, hence 1.
    Where hidden states differ in form it is 1 for every rule."""
    published_reduction: ClassVar[str] = "mean"
    """What `credit_reduction=published` means for this rule."""
    per_sample: ClassVar[bool] = False
    """Credit is of each sample's own error or label: no other `credit_reduction` is taken."""
    small_differences: ClassVar[bool] = False
    """Credit is read from small differences, which coarse precisions would drown."""
    transports: ClassVar[str] = ""
    """What the credit takes from the network's weights, one of TRANSPORTS; "" is all that the rule
    is shown. It is measured, too."""
    positive: ClassVar[tuple[str, ...]] = ()
    """Names of the rule's own numbers that must be above 0."""
    look: ClassVar[Look | None] = None
    """Colour, marker and place in figures and tables; None derives them from the rule's name."""

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other)

    def __hash__(self) -> int:
        return hash(type(self))

    def configured(self, spec: "RunSpec") -> Self:
        """The rule with the knobs of a run.

        A rule may be a frozen dataclass. Fields that classes of this package declare are set to the
        RunSpec fields of the same names; those of a class from outside are its own and have what
        `rule_option` says. Runs whose configured rules are equal are computed as one.
        """
        values = options.given(self, spec.rule_option)
        if not dataclasses.is_dataclass(self):
            return self
        values |= {name: getattr(spec, name) for name in options.knobs(self)}
        return dataclasses.replace(self, **values)

    def refuse(self, spec: "RunSpec") -> None:
        """Raise a CreditError where this rule cannot train a run: it names setting and remedy."""
        if self.small_differences and spec.precision in ("bf16", "tf32"):
            raise CreditError(
                f"precision={spec.precision} drowns the small differences that {spec.rule} "
                "reads: pass fp32 or fp64"
            )
        if self.per_sample and spec.credit_reduction not in ("published", self.published_reduction):
            raise CreditError(
                f"credit_reduction={spec.credit_reduction} does not suit {spec.rule}: its credit "
                "is of each sample's own error or label, pass published"
            )
        for name in self.positive:
            if not (value := getattr(self.configured(spec), name)) > 0:
                raise CreditError(
                    f"rule_option {name}={value:g} of {spec.rule} is too small: pass a number "
                    "above 0"
                )

    def check(self, spec: "RunSpec", shape: Shape) -> None:
        """Raise a CreditError where this rule cannot serve a network: it names a remedy."""

    def init(self, spec: "RunSpec", shape: Shape, generator: torch.Generator) -> State:
        """The state before training, drawn from `generator`; float32 takes the run's precision."""
        return {}

    def credit(self, state: State, trace: Trace) -> list[Tensor]:
        """a_0 .. a_L, each (N, d). Pure: no in-place change of its arguments, no random numbers."""
        raise NotImplementedError

    def costs(self, shape: Shape) -> Costs:
        """Count what one sample costs, beside the exact gradients of rules that read them."""
        return Costs()

    def noise(self, shape: Shape, samples: int, generator: torch.Generator) -> State:
        """The random numbers of a step on a batch of `samples`, as `trace.noise`. Default: none.

        Drawn per seed and step, outside of what is lifted: runs of one seed share them. A rule that
        learns has them in the steps in which it does.
        """
        return {}

    def redrawn(self, state: State, samples: int, generator: torch.Generator) -> State:
        """Further random numbers of a step, where their form is that of entries of the state.

        Of `state`, one run's, only names, shapes and types may be read.
        """
        return {}

    def gradients(self, state: State, trace: Trace) -> tuple[State, dict[str, Tensor]]:
        """How a `learned` rule learns: the loss gradient of every entry `estimator/...`, by name.

        And scalars to log as `estimator/...`. Taken before `credit` of the same step; AdamW with
        `estimator_lr` does the rest. Pure.
        """
        raise NotImplementedError

    def refreshed(self, state: State) -> State:
        """Return what else changes in the state after a step of AdamW, such as averaged copies."""
        return {}

    def followed(self, state: State, trace: Trace, weights: Params, decay: Tensor) -> State:
        """Return what changes in the state after a step of the network, for rules that `follows`.

        `trace.weights` are those before the step, `weights` those after it; `decay` is the share
        that AdamW's weight decay has taken of weights that train.
        """
        raise NotImplementedError

    def warm(self, epoch: int, epochs: int) -> bool:
        """Return whether `epoch`, counted from 0, trains on `warmup_credit` instead of `credit`."""
        return False

    def warmup_credit(self, state: State, trace: Trace) -> list[Tensor]:
        """Return what the network trains on while the rule is `warm`, in the shape of `credit`."""
        raise NotImplementedError
