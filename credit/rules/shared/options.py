"""Fields of a rule: knobs of the run that it reads, or its own, which `rule_option` sets.

A field that a class of this package declares is the RunSpec field of that name, where there is one.
Every other field is the rule's own, and so is each that a rule from outside declares, whatever it
is called: it keeps its default, or has what the run's `rule_option` says, as in `k=32,beta=0.5`.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from credit.errors import CreditError
from credit.spec import LEARNED_FIELDS, RunSpec, check_names, format_value, parse_value

NONE = RunSpec.rule_option
_KINDS = {kind.__name__: kind for kind in (int, float, bool, str)}


def knobs(rule: Any) -> set[str]:
    """Return the names of the RunSpec fields that a rule reads."""
    names: set[str] = set()
    for kind in type(rule).__mro__:
        if kind.__module__.partition(".")[0] != "credit" or not dataclasses.is_dataclass(kind):
            continue
        fields = (f for f in dataclasses.fields(kind) if f.name in RunSpec.__dataclass_fields__)
        declared = {field.name: field.default for field in fields}
        for name, value in declared.items():
            mine = rule.__dataclass_fields__[name].default
            if name not in names and mine != value:
                raise CreditError(
                    f"{_named(rule)} gives {name}={mine!r}, which is a setting of "
                    f"the run ({kind.__name__} reads it): leave it out and pass --{name}, or call "
                    "it something else"
                )
        names |= declared.keys()
    return names


def reads(rule: Any, option: str) -> bool:
    """Return whether a field of RunSpec has a meaning for a rule; most have one for all rules."""
    if option == "credit_reduction":
        return rule.surrogate
    return option in knobs(rule) or option not in LEARNED_FIELDS


def own(rule: Any) -> dict[str, dataclasses.Field]:
    """Return the fields that are the rule's own, by name."""
    if not dataclasses.is_dataclass(type(rule)):
        return {}
    if not rule.__dataclass_params__.frozen:
        raise CreditError(f"{_named(rule)} can change: declare it with @dataclass(frozen=True)")
    read = knobs(rule)
    return {f.name: f for f in dataclasses.fields(rule) if f.init and f.name not in read}


def given(rule: Any, text: str) -> dict[str, Any]:
    """Return the rule's own fields that `text` sets, `name=value,...` or "none", as their types."""
    declared, values = own(rule), {}
    for part in [] if text == NONE else text.split(","):
        name, equals, value = (word.strip() for word in part.partition("="))
        if not (name and equals):
            raise CreditError(f"rule_option={text!r} is not name=value: pass it as in k=32,beta=.5")
        if not declared:
            raise CreditError(f"rule_option={text}, but {_named(rule)} has no fields of its own")
        check_names([name], declared, f"rule_option of {_named(rule)}")
        if name in values:
            raise CreditError(f"rule_option={text} names {name} twice: name each once")
        values[name] = parse_value(f"rule_option {name}", _kind(rule, declared[name]), value)
    return values


def canonical(rule: Any, text: str) -> str:
    """Return `text` in its one form: sorted, without what is the default; "none" if all is."""
    changed = {n: v for n, v in given(rule, text).items() if v != getattr(rule, n)}
    return ",".join(f"{name}={format_value(changed[name])}" for name in sorted(changed)) or NONE


def check_taken(rules_of: Mapping[str, Any], text: str) -> None:
    """Refuse options where none of an experiment's rules, by name, has fields of its own."""
    if text != NONE and not any(map(own, rules_of.values())):
        raise CreditError(
            f"rule_option={text}, but no rule here has fields of its own "
            f"({', '.join(rules_of) or 'no rule is named'}): leave it out, or name a rule that has"
        )


def _kind(rule: Any, field: dataclasses.Field) -> type:
    """The type of an option."""
    default = getattr(rule, field.name)
    found = _KINDS.get(getattr(field.type, "__name__", str(field.type)), type(default))
    if found not in _KINDS.values():
        raise CreditError(
            f"rule_option {field.name} of {_named(rule)} is a {found.__name__}: only whole "
            "numbers, numbers, true or false, and names can be set"
        )
    return found


def _named(rule: Any) -> str:
    return f"rule {type(rule).__module__}:{type(rule).__qualname__}"
