"""A rule from outside the package on a few random samples, before anything is trained.

What its author has forgotten is then one line, and not the end of a long run. Rules of this package
are not tried: tests do that.
"""

import contextlib
import inspect
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from credit import rules
from credit.errors import CreditError
from credit.networks.arithmetic import output_error
from credit.randomness import generator
from credit.rules import Shape, base, learned
from credit.spec import RunSpec
from credit.training import capturing, purity
from credit.training.cost import state_sizes
from credit.training.stack import Stack

SAMPLES = 3
_LONGEST = 300  # characters of a message that is not ours
_BASES = (base.__file__, learned.__file__)
"""Where methods stand that a rule has to write itself."""


def check_states(specs: Sequence[RunSpec], shape_of: Callable[[RunSpec], Shape]) -> None:
    """Refuse rules that cannot say what state they carry. It takes no memory."""
    for spec in _to_try(specs):
        with _blamed(spec.rule):
            state_sizes(spec, shape_of(spec))


def check_credits(
    specs: Sequence[RunSpec], shape_of: Callable[[RunSpec], Shape], finite: bool = False
) -> None:
    """Let each rule assign credit in a network as its runs begin, and take a step with it.

    If `finite`, inf and nan are an error, too, and not for training to find out.
    """
    for spec in _to_try(specs):
        if (shape := shape_of(spec)).d_in:  # else it is no network
            _check(spec, shape, finite)


def _to_try(specs: Sequence[RunSpec]) -> list[RunSpec]:
    """One run of every network and rule from elsewhere: that with the most blocks to train."""
    outside = [s for s in sorted(specs, key=lambda s: s.k) if ":" in s.rule or ":" in s.network]
    keys = {(s.rule, s.rule_option, s.network, s.width, s.depth): s for s in outside}
    return list(keys.values())


def _check(spec: RunSpec, shape: Shape, finite: bool) -> None:
    source = generator(spec.seed, "trial")
    with _blamed(spec.rule):
        purity.check_init(spec, shape)
        stack = Stack([spec], shape)
    x = torch.randn(SAMPLES, shape.d_in, generator=source).to(stack.device, stack.dtype)
    y = torch.randint(shape.classes, (SAMPLES,), generator=source).to(stack.device)
    run = stack.network.forward(stack.params, x)
    error = output_error(run.logits, y.expand(1, -1))
    grads = stack.network.hidden_gradients(stack.params, run, error)
    (lane,) = stack.lanes
    (group,) = lane.groups
    noise = lane.measured_noise(SAMPLES)
    (seen,) = lane.traces(run, x, y.expand(1, -1), error, grads[-1], grads, noise)
    with _blamed(spec.rule):
        one = tree_map(lambda tensor: tensor[0], seen._replace(noise={}))
        credits = purity.check_calls(spec, group.rule, shape, stack.rule_state(0), one)
    _check_shapes(spec.rule, credits, shape)
    if finite:
        _check_finite(spec.rule, credits)
    with _blamed(spec.rule), purity.guarded(spec.rule, group.rule), capturing.Watch() as watch:
        group.lifted(group.rule.credit, seen)
        stack.set_phase(0, spec.epochs)
        stack.step(x, y)
    if watch.found:
        capturing.warn(watch.found)


def _check_shapes(name: str, credits: Any, shape: Shape) -> None:
    asked = [(SAMPLES, units) for units in shape.units]
    remedy = (
        f"return a_0 .. a_{shape.depth}, {shape.depth + 1} tensors of the shape of "
        f"trace.hiddens[l], here {', '.join(map(str, dict.fromkeys(asked)))}"
    )
    if not isinstance(credits, list | tuple):
        found = f"a {type(credits).__name__}"
    elif strange := [type(a).__name__ for a in credits if not isinstance(a, Tensor)]:
        found = f"a list with a {strange[0]}"
    elif (sizes := [tuple(a.shape) for a in credits]) != asked:
        shown = ", ".join(map(str, dict.fromkeys(sizes)))
        found = f"{len(sizes)} tensors of shape {shown}"
    elif not all(a.is_floating_point() for a in credits):
        found, remedy = "whole numbers", "return floats"
    else:
        return
    raise CreditError(f"credit of rule {name!r} returns {found}: {remedy}")


def _check_finite(name: str, credits: Sequence[Tensor]) -> None:
    for layer, credit in enumerate(credits):
        if not bool(credit.isfinite().all()):
            what = "nan" if bool(credit.isnan().any()) else "inf"
            raise CreditError(
                f"credit of rule {name!r} for h_{layer} is {what} on random samples in a new "
                "network: every run would fail in its first epoch, mend the rule"
            )


@contextlib.contextmanager
def _blamed(name: str) -> Iterator[None]:
    """Errors of the user's file as one line that says where."""
    try:
        yield
    except CreditError:
        raise
    except Exception as error:  # the user's code: anything may come
        last = traceback.extract_tb(error.__traceback__)[-1]
        if isinstance(error, NotImplementedError) and last.filename in _BASES:
            raise CreditError(
                f"rule {name!r} has no method {last.name}: write it, as credit/rules/base.py says"
            ) from error
        cause = " ".join(str(error).split())[:_LONGEST]
        raise CreditError(
            f"rule {name!r} fails on {SAMPLES} random samples{_where(name, error)}: "
            f"{type(error).__name__}: {cause}"
        ) from error


def _where(name: str, error: Exception) -> str:
    """The line of the user's file at which it failed, if any."""
    file = inspect.getfile(type(rules.get(name)))
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == file]
    return f" ({file.rpartition('/')[2]}, line {lines[-1]})" if lines else ""
