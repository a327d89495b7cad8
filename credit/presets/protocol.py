"""Presets of the audit of one rule: the ladder's own, so that it finds the ladder's runs.

None names a rule: which one is audited is said each time.
"""

from credit.presets.image import IMAGE

_AUDIT = {
    "controls": "shallow,random_labels,penalty,frozen_embedding",
    "control_penalty": "0.01",
}


def _of(experiment: str, preset: str) -> dict[str, str]:
    """Another experiment's preset, without what it compares."""
    options = IMAGE[experiment][preset]
    return {k: v for k, v in options.items() if k not in ("rules", "controls")}


PROTOCOL: dict[str, dict[str, dict[str, str]]] = {
    "audit": {
        "published": {**_of("ladder", "published"), **_AUDIT},
        "reduced": {**_of("matched_controls", "reduced"), **_AUDIT, "ks": "all"},
        "quick": {**_of("ladder", "quick"), **_AUDIT},
    }
}
