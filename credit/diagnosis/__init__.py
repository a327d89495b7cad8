"""`credit.diagnose`: does the credit of any network's training point where its gradient points?"""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from credit.diagnosis.credits import CreditFunction, credit_of
from credit.diagnosis.layers import chosen, unwrapped
from credit.diagnosis.measuring import Measuring, batches, part
from credit.diagnosis.passes import Forward, Inputs, Loss, Passes, samples, tensors
from credit.diagnosis.result import Diagnosis
from credit.diagnosis.untouched import untouched
from credit.diagnosis.verdicts import judged
from credit.errors import CreditError
from credit.measures.base import Options, sample_losses
from credit.rules import Rule

__all__ = ["Diagnosis", "Options", "diagnose"]

DEFAULTS = Options(directions=8, relative_steps=True)
"""Steps are relative to ‖h‖: one length for all widths, and none is lost in rounding."""


def diagnose(
    model: nn.Module,
    x: Inputs,
    y: Any,
    *,
    credit: Sequence[Tensor] | CreditFunction | Rule | str | None = None,
    layers: Sequence[str | nn.Module] | None = None,
    loss: Loss | None = None,
    reference: nn.Module | None = None,
    forward: Forward | None = None,
    training: bool = False,
    batch_size: int = 64,
    perturbed: int = 64,
    options: Options = DEFAULTS,
    seed: int = 0,
) -> Diagnosis:
    """Measure a network, and a credit for its hidden states beside the exact gradient.

    Hidden states h_0 … h_L are outputs of modules, (N, ...) of any shape; of a module that returns
    a tuple, the first tensor. g_l is the gradient of each sample's own loss by h_l; it is a
    reference where a copy of the model in float64 finds it, too. Without such a copy, which the
    verdicts say, it is one above a floor. The model is left as it was: mode, buffers, gradients,
    hooks and the global random generators.

    Args:
        model: any module; what is compiled runs in eager mode, without autocast.
        x: N samples: a tensor, or a tuple or dictionary of tensors, each with N rows; a tuple
            becomes positional arguments of the model, a dictionary named ones.
        y: targets, as `loss` takes them: tensors with N rows; for cross-entropy labels (N,).
        credit: what is audited: tensors a_0 … a_L in the shapes of the hidden states; a function
            (hiddens, logits, y) that returns them for a micro-batch, whose arguments carry the
            graph; "backward", what arrives in the model's own backward pass; or a rule of the
            bench that needs no weights, such as "dfa" or "fa". None audits the network alone.
        layers: names or modules whose outputs are h_0 … h_L, in the order in which they are called.
            None: stages or blocks that are found, see `Diagnosis.layers`.
        loss: (output, y) -> (N,), the loss of each sample; None is cross-entropy of (N, C) logits.
        reference: for credit="backward", a model with the same weights and plain autograd: g, ρ
            and nudge are taken from it.
        forward: (model, x, y) -> output, how to call the model; None is model(x).
        training: measure in training mode, in which the samples of a micro-batch may interact, with
            the same random numbers in every pass. False: in evaluation mode.
        batch_size: samples of a micro-batch, all that is held in memory at once.
        perturbed: samples on which ρ and nudge are measured, the first ones of x.
        options: number and size of steps for ρ and nudge, and the floor of D2.
        seed: of random directions, the random control and what a rule draws.

    Raises:
        CreditError: an argument is of no use; the line names it and the remedy.
    """
    plain, n = _network(model, credit, reference), samples(x)
    _check(x, y, n, batch_size=batch_size, perturbed=perturbed, directions=options.directions)
    found = chosen(plain, layers)
    inner, device = unwrapped(model), next((p.device for p in plain.parameters()), None)
    passes = Passes(plain, found, forward or _call, loss or _cross_entropy, training)
    with untouched(plain, inner, training=training):
        given = credit_of(credit, inner, passes, n, seed)
        measuring = Measuring(passes, given, options, seed)
        for where, perturb in batches(n, batch_size, perturbed):
            measuring.take(part(x, where, device), part(y, where, device), where, perturb)
        report = measuring.report()
    settings = {"samples": n, "perturbed": min(perturbed, n), "seed": seed, **options._asdict()}
    missing = measuring.double.missing
    settings["reference"] = f"‖g‖ above the floor ({missing})" if missing else "float64"
    verdicts = judged(report.layers, report.metrics, missing)
    return Diagnosis(report.layers, report.metrics, verdicts, settings)


def _network(model: nn.Module, credit: Any, reference: nn.Module | None) -> nn.Module:
    """Return the network that is the reference."""
    backward = isinstance(credit, str) and credit == "backward"
    if backward and reference is None:
        raise CreditError(
            'credit="backward" has nothing to compare with: pass reference=, a model with the '
            "same weights and plain autograd"
        )
    if not backward and reference is not None:
        raise CreditError('reference= is for credit="backward": leave it out')
    return unwrapped(model if reference is None else reference)


def _check(x: Any, y: Any, n: int, **counts: int) -> None:
    """Refuse no samples, unequal numbers of them, nan, and counts below 1."""
    for name, count in counts.items():
        if count < 1:
            raise CreditError(f"{name}={count}: pass at least 1")
    if n == 0:
        raise CreditError("x has no samples: pass at least one")
    for name, value in (("x", x), ("y", y)):
        for tensor in tensors(value):
            if tensor.dim() == 0 or len(tensor) != n:
                raise CreditError(f"{name} has shape {tuple(tensor.shape)} for {n} samples")
            if not bool(tensor.isfinite().all()):
                raise CreditError(f"{name} holds nan or inf: pass finite numbers")


def _call(model: nn.Module, x: Any, _y: Any) -> Tensor:
    if isinstance(x, dict):
        return model(**x)
    return model(*x) if isinstance(x, tuple | list) else model(x)


def _cross_entropy(output: Tensor, y: Any) -> Tensor:
    """Return the cross-entropy of each sample in float64. output (N, C), y (N,) -> (N,)."""
    suits = isinstance(y, Tensor) and not y.is_floating_point() and y.shape == output.shape[:1]
    if output.dim() != 2 or not suits:
        what = tuple(y.shape) if isinstance(y, Tensor) else type(y).__name__
        raise CreditError(
            f"output of shape {tuple(output.shape)} and y of {what} do not suit cross-entropy: "
            "pass loss=lambda output, y: ..., which returns one number per sample"
        )
    if bool((y < 0).any() or (y >= output.shape[1]).any()):
        low, high, last = int(y.min()), int(y.max()), output.shape[1] - 1
        raise CreditError(f"y has labels from {low} to {high}: cross-entropy takes 0 to {last}")
    return sample_losses(output, y.long())
