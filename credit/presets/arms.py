"""Labels of what experiments compare, and the RunSpec fields that make each."""

_FIELD = {"rule": "vector_field", "field_directions": "4"}

ARMS: dict[str, dict[str, str]] = {
    "scalar": {"rule": "credit_bridge"},
    "M4": _FIELD,
    "M8": {**_FIELD, "field_directions": "8"},
    "M16": {**_FIELD, "field_directions": "16"},
    "shuffle": {**_FIELD, "shuffle": "true"},
    "no_terminal": {**_FIELD, "terminal_weight": "0"},
    "shuffle+no_terminal": {**_FIELD, "shuffle": "true", "terminal_weight": "0"},
    "one_sided": {**_FIELD, "one_sided": "true"},
}
"""Arms of the vector audit: label -> the RunSpec fields that make it. `scalar` is the credit
bridge, whose credit is the gradient of one scalar; the controls change one thing of M4 each."""

_RECOVERY: dict[str, dict[str, str]] = {
    "dfa": {"rule": "dfa"},
    "state_bridge": {"rule": "state_bridge"},
    "credit_eT": {"rule": "credit_bridge"},
    "credit_deltaL": {"rule": "credit_bridge", "code": "deltaL"},
}

FROZEN_ARMS: dict[str, dict[str, str]] = {
    **_RECOVERY,
    **{label: ARMS[label] for label in ("M4", "M8", "M16")},
}
"""Arms of frozen recovery. dfa has nothing to learn and stands beside as the baseline."""

ONLINE_ARMS: dict[str, dict[str, str]] = {
    "bp": {"rule": "bp"},
    "oracle": {"rule": "oracle"},
    **_RECOVERY,
    "vector_field": {"rule": "vector_field"},
}
"""Arms of the online conditioning scan. bp and the oracle stand beside as ceilings: what the
gradient itself reaches, end to end and through the local surrogate."""

CONTROLS = ("base", "shallow", "random_labels", "penalty", "frozen_embedding")
"""Of the matched controls; `grid.matched_controls` says what each is."""
