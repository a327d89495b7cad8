"""Presets of every experiment, as data: preset name -> options as strings."""

_QUICK_CIFAR = {
    "width": "128",
    "epochs": "6",
    "train_samples": "20000",
    "measure_samples": "512",
    "directions": "8",
}

_SYNTHETIC = {
    "dataset": "teacher",
    "train_samples": "3072",
    "width": "128",
    "terminal_norm": "false",
    "augment": "false",
    "epochs": "80",
    "measure_every": "80",
    "seeds": "42,123,456",
}
"""Shared by the experiments on teacher and student; their blocks have phi, not GELU."""

_QUICK_SYNTHETIC = {
    **_SYNTHETIC,
    "width": "64",
    "epochs": "4",
    "measure_every": "4",
    "seeds": "42",
    "train_samples": "2000",
    "measure_samples": "256",
    "directions": "8",
    "estimator_width": "64",
    "estimator_depth": "2",
}

_LADDER = {"rules": "bp,oracle,fa,dfa", "ks": "all"}
_DIRECTION = {"rules": "dfa", "penalties": "0,0.01", "seeds": "42"}
_NONLINEARITY = {"rules": "bp,dfa,state_bridge,credit_bridge,vector_field", "field_alphas": "1"}
_BOUNDARY = {
    "activation": "phi",
    "alpha": "1",
    "codes": "eT,deltaL,eT_hL,deltaL_hL",
    "tgws": "0,0.25,1,4",
    "warmups": "0,0.05,0.2,0.5",
    "warmup_code": "deltaL",
}
_VECTOR = {
    "activation": "phi",
    "alpha": "1",
    "arms": "scalar,M4,M8,shuffle,no_terminal,shuffle+no_terminal,one_sided",
}
_TOY_LQ = {"rules": "dfa,state_bridge,credit_bridge,vector_field", "tgws": "1,0"}

PRESETS: dict[str, dict[str, dict[str, str]]] = {
    "ladder": {
        "published": {**_LADDER, "seeds": "42,123,456"},
        "quick": {**_LADDER, **_QUICK_CIFAR, "seeds": "42", "measure_every": "6"},
    },
    "direction_quality": {
        "published": _DIRECTION,
        "quick": {**_DIRECTION, **_QUICK_CIFAR},
    },
    "nonlinearity_ladder": {
        "published": {
            **_SYNTHETIC,
            **_NONLINEARITY,
            "alphas": "0,0.25,0.5,1",
            "depths": "2,4,8,12",
        },
        "quick": {**_QUICK_SYNTHETIC, **_NONLINEARITY, "alphas": "0,1", "depths": "2,4"},
    },
    "boundary_ablation": {
        "published": {**_SYNTHETIC, **_BOUNDARY, "depth": "4"},
        "quick": {**_QUICK_SYNTHETIC, **_BOUNDARY, "depth": "2"},
    },
    "vector_audit": {
        "published": {**_SYNTHETIC, **_VECTOR, "depths": "4,8"},
        "quick": {**_QUICK_SYNTHETIC, **_VECTOR, "depths": "2,4"},
    },
    "toy_lq": {
        "published": {
            **_TOY_LQ,
            "seeds": "42,123,456",
            "width": "64",
            "depth": "12",
            "batch_size": "256",
            "train_samples": "25600",  # times 80 epochs: 8000 steps
            "epochs": "80",
            "measure_every": "20",
        },
        "quick": {
            **_TOY_LQ,
            "seeds": "42",
            "width": "16",
            "depth": "4",
            "train_samples": "12800",
            "epochs": "20",
            "measure_every": "20",
            "measure_samples": "256",
            "directions": "8",
            "estimator_width": "64",
        },
    },
}
"""For every experiment: preset name -> options. A field that a preset leaves out has RunSpec's
default. The published presets are METHODS' recipe; the quick ones take minutes on two CPU cores."""

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
