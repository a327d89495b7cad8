"""Every RunSpec there can be, for Hypothesis."""

import dataclasses
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from credit.spec import RunSpec, field_types

FIELDS = {f.name: f for f in dataclasses.fields(RunSpec)}
TYPES = field_types()
DEFAULT = RunSpec()


def values(name: str) -> st.SearchStrategy[Any]:
    """Every kind of value that field `name` can take."""
    kind, known = TYPES[name], FIELDS[name].metadata
    if known["one_of"]:
        return st.sampled_from(known["one_of"])
    if kind is bool:
        return st.booleans()
    least, most = known["at_least"], known["at_most"]
    if kind is int:
        return st.integers(int(least), most or 10**12)
    if kind is float:
        return st.floats(least, most, allow_nan=False, allow_infinity=False)
    if name == "device":
        return st.sampled_from(("auto", "cpu", "cuda", "cuda:1"))
    return st.text(min_size=1)


def mappings() -> st.SearchStrategy[dict[str, Any]]:
    """Some fields, each with a value of its own; k at most the depth."""
    some = st.fixed_dictionaries({}, optional={name: values(name) for name in FIELDS})
    return some.map(lambda m: m | {"k": min(m.get("k", DEFAULT.k), m.get("depth", DEFAULT.depth))})


specs = mappings().map(RunSpec.from_mapping)

# Time is no property of a spec: on a busy machine Hypothesis' own limits fail what is right.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
