"""Grid of the audit of one rule: its ladder beside bp's and the oracle's, and its controls."""

from collections.abc import Mapping

from credit import rules
from credit.errors import CreditError
from credit.grid.image import ladder, matched_controls
from credit.grid.options import depth_of, distinct, fields, numbers
from credit.spec import RunSpec

BESIDE = ("bp", "oracle")
"""What stands beside the rule: whether depth is of use at all, and what perfect credit reaches."""
NONE = "none"
"""The value of `rule` where none is named, and of `controls` where there are to be none."""


def audit(chosen: Mapping[str, str]) -> list[RunSpec]:
    """Rungs `ks` of the rule, bp and the oracle, and the rule's matched controls, on `seeds`.

    The rungs are the ladder's runs and the controls those of `matched_controls`, wherever the
    options say the same, so that what is there is not trained again. Without a rule it is what
    every audit has: the rungs of bp and the oracle.

    Raises:
        CreditError: an option is not valid, there is no such rule or more than one, or k = 0 or
            k = depth is left out.
    """
    rule = chosen["rule"]
    if "," in rule:
        raise CreditError(
            f"rule={rule!r} names several: an audit is of one, the ladder compares them (rules=...)"
        )
    named = [] if rule == NONE else [rule]
    for name in named:
        rules.get(name)
    depth = depth_of(fields(chosen))
    ks = chosen["ks"]
    if ks != "all" and (left_out := {0, depth} - set(numbers("ks", ks))):
        raise CreditError(
            f"ks={ks} leaves out {', '.join(map(str, sorted(left_out)))}: an audit compares k=0 "
            f"with k={depth}, pass both"
        )
    specs = ladder({**chosen, "rules": ",".join(dict.fromkeys((*BESIDE, *named)))})
    if named and chosen["controls"] != NONE:
        specs += matched_controls({**chosen, "rules": rule})
    return distinct(specs)
