"""Names of rules where people read them: as short as tells one from the others beside it."""

from collections.abc import Iterable, Mapping

from credit.rules import get
from credit.spec import RunSpec


def shortest(rules: Iterable[str]) -> dict[str, str]:
    """Return the shortest name of every rule that no other of `rules` has, by full name.

    The class, `MyRule`; where several share it as much of the module as it takes, `a:MyRule`.
    """
    names = sorted(set(rules))
    found = {name: name for name in names}
    for name in (name for name in names if ":" in name):
        module, _, kind = name.rpartition(":")
        parts = module.split(".")
        forms = [kind, *(f"{'.'.join(parts[-n:])}:{kind}" for n in range(1, len(parts) + 1))]
        others = [other for other in names if other != name]
        unique = (
            form
            for form in forms
            if not any(o == form or o.endswith((f":{form}", f".{form}")) for o in others)
        )
        found[name] = next(unique, name)
    return found


def run_name(spec: RunSpec, names: Mapping[str, str]) -> str:
    """Return a run's name beside runs of other rules, whose names `shortest` gave.

    It says the reduction where that is not the rule's own.
    """
    own, given = spec.rule.rpartition(":")[2], spec.credit_reduction
    name = names.get(spec.rule, own) + spec.name.removeprefix(own)
    usual = given == "published" or given == get(spec.rule).published_reduction
    return name if usual else f"{name} {given}"


def parent_name(name: str, preset: str, specs: Iterable[RunSpec]) -> str:
    """Return an experiment's name with its preset, rules and number of seeds."""
    listed = list(specs)
    seeds = len({spec.seed for spec in listed})
    used = dict.fromkeys(spec.rule for spec in listed)
    rules = ",".join(map(shortest(used).__getitem__, used))
    return " ".join([name, *([preset] if preset else []), rules, f"n={seeds}"])
