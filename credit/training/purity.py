"""Refusal of rules that depend on more than their arguments, or leave something behind.

A run that is resumed, or trained in other company, calls a rule other times and from other objects.
It gives the same numbers only if the rule's methods are functions of what they are given.
"""

import contextlib
import random
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch.testing import assert_close
from torch.utils._pytree import tree_leaves

from credit import rules
from credit.errors import CreditError
from credit.randomness import generator
from credit.rules import Rule, Shape, State, Trace
from credit.spec import RunSpec
from credit.training.group import check_alike

_DRAWN = "draw random numbers in init(spec, shape, generator), from the generator that it is given"


@contextlib.contextmanager
def guarded(name: str, rule: Rule) -> Iterator[None]:
    """See that the global random generators and the rule's attributes stay as they are."""
    generators, attributes = _generators(), _attributes(rule)
    yield
    for which, state in _generators().items():
        if state != generators[which]:
            raise CreditError(
                f"rule {name!r} draws from {which}, which no seed of a run sets: {_DRAWN}"
            )
    after = _attributes(rule)
    for attribute in {**attributes, **after}:
        if attributes.get(attribute, b"") != after.get(attribute, b""):
            raise CreditError(
                f"rule {name!r} changes its own attribute {attribute!r} when called, which is in "
                "no checkpoint: return what it carries from init, as its state, and change "
                "nothing of self"
            )


def check_init(spec: RunSpec, shape: Shape) -> None:
    """See that the rule's state follows from its generator, and has one layout for all seeds."""
    rule = rules.of(spec)
    with guarded(spec.rule, rule):
        seeds = (spec.seed, spec.seed, spec.seed + 1)
        states = [rule.init(spec, shape, generator(seed, "feedback")) for seed in seeds]
    check_alike(spec.rule, states)
    if not _same(states[0], states[1]):
        raise CreditError(
            f"init of rule {spec.rule!r} gives two states from one generator: {_DRAWN}"
        )


def check_calls(spec: RunSpec, rule: Rule, shape: Shape, state: State, trace: Trace) -> Any:
    """Return the credit of one run, of which `state` and `trace` have no run dimension.

    The rule's methods are called twice, and once on a new object: all must agree, bit for bit.
    """
    results = []
    given = tree_leaves((state, trace))
    before = [tensor.clone() for tensor in given]
    for called in (rule, rule, rules.of(spec)):
        shown = dict(state)
        with guarded(spec.rule, called):
            results.append(dict(_calls(spec, called, shape, shown, trace)))
        if not all(map(torch.equal, before, given)):
            raise CreditError(
                f"rule {spec.rule!r} changes in place what credit is shown, its state or the "
                "network's weights: make new tensors, as a + b does and a += b does not"
            )
        changed = [k for k in {**state, **shown} if shown.get(k) is not state.get(k)]
        if changed:
            raise CreditError(
                f"rule {spec.rule!r} writes to its state {changed[0]!r}, and what it writes is "
                "lost: credit may only read its state, which is as init returns it"
            )
    for name, value in results[0].items():
        if not all(_same(value, other[name]) for other in results[1:]):
            raise CreditError(
                f"{name} of rule {spec.rule!r} gives different results for the same arguments: let "
                f"it depend on them alone, and {_DRAWN}"
            )
    return results[0]["credit"]


def _calls(
    spec: RunSpec, rule: Rule, shape: Shape, state: State, trace: Trace
) -> Iterator[tuple[str, Any]]:
    """The results of the methods that training calls, by name, in its order."""
    source, samples = generator(spec.seed, "trial"), len(trace.labels)
    noise = rule.noise(shape, samples, source) | rule.redrawn(state, samples, source)
    yield "noise", noise
    like = trace.error
    noise = {k: v.to(like if v.is_floating_point() else like.device) for k, v in noise.items()}
    trace = trace._replace(noise=noise)
    if rule.learned:
        yield "gradients", rule.gradients(state, trace)
        yield "refreshed", rule.refreshed(state)
    if rule.warm(0, spec.epochs):
        yield "warmup_credit", rule.warmup_credit(state, trace)
    yield "credit", rule.credit(state, trace)
    if rule.follows:
        yield "followed", rule.followed(state, trace, trace.weights, torch.tensor(0.01))


def _same(one: Any, other: Any) -> bool:
    """Return whether two results agree bit for bit; what holds no tensors has its own test."""
    try:
        assert_close(one, other, rtol=0, atol=0, equal_nan=True)
    except AssertionError:
        return False
    except (TypeError, ValueError):
        return type(one) is type(other)
    return True


def _generators() -> dict[str, object]:
    """The states of all global random generators."""
    found: dict[str, object] = {
        "torch's global generator": torch.get_rng_state().tolist(),
        "numpy's global generator": _contents(np.random.get_state()),
        "Python's random": random.getstate(),
    }
    if torch.cuda.is_initialized():
        states = torch.cuda.get_rng_state_all()
        found["torch's global generator of the GPU"] = [s.tolist() for s in states]
    return found


def _attributes(rule: Rule) -> dict[str, object]:
    """Return the contents of what the rule and its classes from outside the package hold."""
    outside = [c for c in type(rule).__mro__[:-1] if c.__module__.partition(".")[0] != "credit"]
    found = {}
    for holder in (*reversed(outside), rule):
        for name, value in vars(holder).items():
            with contextlib.suppress(Exception):  # what has no contents to see is not looked at
                if not name.startswith("__"):
                    found[name] = _contents(value)
    return found


def _contents(value: Any, deep: int = 8) -> object:
    """Return a value as plain lists and texts, so that a change in it is seen."""
    if isinstance(value, torch.Generator):
        return value.get_state().tolist()
    if isinstance(value, torch.Tensor | np.ndarray):
        return [str(value.dtype), value.tolist()]
    if isinstance(value, Mapping):
        return [(_contents(k, deep - 1), _contents(v, deep - 1)) for k, v in value.items()]
    if isinstance(value, list | tuple | set | frozenset) or hasattr(value, "__next__"):
        return [_contents(one, deep - 1) for one in value]
    if not deep or callable(value) or isinstance(value, str | bytes | int | float | None):
        return repr(value)
    return [_contents(part, deep - 1) for part in value.__reduce_ex__(4)]
