"""Credit rules: one file each, found by module name; others are given as `package.module:Rule`."""

import functools
import importlib
import pkgutil
import shlex
from collections.abc import Collection

from credit.errors import CreditError
from credit.rules.base import Costs, Look, Rule, Shape, State, Trace
from credit.rules.shared import options
from credit.spec import LEARNED_FIELDS, RunSpec, check_names

__all__ = ["Costs", "Look", "Rule", "Shape", "State", "Trace", "available", "get"]
__all__ += ["knobs", "look", "of", "refuse_untrusted"]

_SHARED = ("base", "learned", "shared")


@functools.cache
def available() -> tuple[str, ...]:
    """Names of the rules in this package, in alphabetical order."""
    return tuple(m.name for m in pkgutil.iter_modules(__path__) if m.name not in _SHARED)


def get(name: str) -> Rule:
    """The rule called `name`: a module of this package, or `package.module:Rule`.

    Raises:
        CreditError: no such rule, or what is found there is not a Rule or cannot be made.
    """
    module_name, colon, class_name = name.partition(":")
    if not colon:
        check_names([name], available(), "rule")
        module = importlib.import_module(f"{__name__}.{name}")
        return module.RULE
    try:
        found = getattr(importlib.import_module(module_name), class_name)
        if isinstance(found, type) and issubclass(found, Rule):
            return found()
    except (Exception, SystemExit) as error:  # this runs the user's file: anything may come
        cause = " ".join(str(error).split()) or type(error).__name__
        module_name, class_name = module_name or "MODULE", class_name or "RULE"
        raise CreditError(
            f"cannot load rule {name!r}: {cause}; give it as package.module:Rule and mend it "
            f'until python -c "from {module_name} import {class_name}; {class_name}()" works'
        ) from error
    raise CreditError(
        f"{name!r} is not a rule: it must subclass credit.rules.Rule, name a class that does"
    )


def knobs(name: str) -> frozenset[str]:
    """Return the RunSpec fields that a rule reads; all for one elsewhere, which is not loaded."""
    if ":" in name:
        return LEARNED_FIELDS
    return frozenset(options.knobs(get(name)))


def look(name: str) -> Look | None:
    """Return a rule's look; None for a rule elsewhere, which is not loaded, or unknown."""
    return get(name).look if name in available() else None


def refuse_untrusted(spec: RunSpec, trusted: Collection[str], what: str) -> None:
    """Refuse a rule or network from outside this package that the store names and the user not.

    It would be imported unasked. `what` is the run, for the message.
    """
    asked = [name for name in (spec.rule, spec.network) if ":" in name]
    if unasked := [name for name in asked if name not in trusted]:
        raise CreditError(
            f"{what} is of {' and '.join(map(repr, unasked))}: to import and run that code, which "
            f"the store names, pass --trust_rules {shlex.quote(','.join(asked))}"
        )


def of(spec: RunSpec) -> Rule:
    """The rule of a run, with the run's knobs."""
    return get(spec.rule).configured(spec)
