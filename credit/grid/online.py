"""Grid of the online conditioning scan: first every cell on few seeds, then the best on more."""

from collections.abc import Mapping

from credit import rules
from credit.errors import CreditError
from credit.grid.options import depth_of, fields, items, numbers, reals
from credit.presets import ONLINE_ARMS
from credit.spec import RunSpec, check_names

BASELINE = "dfa"
"""The arm that S1 and S2 are measured against."""
TERMINAL = {"credit_bridge": "tgw", "vector_field": "terminal_weight"}
"""By rule, the knob that `tgws` sets; the other rules have no terminal term to weigh."""


def online_scan(chosen: Mapping[str, str]) -> list[RunSpec]:
    """arms x warmups x tgws on `scan_seeds`, every block trained.

    What does not learn has neither a warm-up nor a terminal term and runs once, the state bridge
    once per warm-up.

    Raises:
        CreditError: an option is not valid, an arm is not one of `presets.ONLINE_ARMS`, dfa or an
            arm to compare with it is not among them.
    """
    arms = items("arms", chosen["arms"])
    check_names(arms, ONLINE_ARMS, "arm")
    if BASELINE not in arms or len(arms) < 2:
        raise CreditError(
            f"arms={chosen['arms']} needs dfa and another: S1 and S2 are the lead over dfa"
        )
    specs = [
        _run(chosen, {**ONLINE_ARMS[arm], **cell}, seed)
        for seed in numbers("scan_seeds", chosen["scan_seeds"])
        for arm in arms
        for cell in _cells(ONLINE_ARMS[arm]["rule"], chosen)
    ]
    online_seeds(chosen, specs[0])  # a bad seed must not be found out after the scan
    return specs


def online_seeds(chosen: Mapping[str, str], cell: RunSpec) -> list[RunSpec]:
    """One cell of the scan and its dfa, on `seeds`."""
    return [
        spec
        for seed in numbers("seeds", chosen["seeds"])
        for spec in (_run(chosen, ONLINE_ARMS[BASELINE], seed), cell.replace(seed=seed))
    ]


def _cells(rule: str, chosen: Mapping[str, str]) -> list[dict[str, float]]:
    if not rules.get(rule).learned:
        return [{}]
    warmups = [{"warmup_ratio": ratio} for ratio in reals("warmups", chosen["warmups"])]
    if rule not in TERMINAL:
        return warmups
    weights = reals("tgws", chosen["tgws"])
    return [{**warmup, TERMINAL[rule]: weight} for warmup in warmups for weight in weights]


def _run(chosen: Mapping[str, str], changes: Mapping[str, object], seed: int) -> RunSpec:
    common = fields(chosen)
    return RunSpec.from_mapping({**common, "k": depth_of(common), **changes, "seed": seed})
