"""Presets of the experiments on made-up data."""

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
    "warmup_ratio": "0.25",  # .05 of 4 epochs is none
}

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

SYNTHETIC: dict[str, dict[str, dict[str, str]]] = {
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
        "quick": {**_QUICK_SYNTHETIC, **_BOUNDARY, "depth": "2", "warmups": "0,0.25,0.5"},
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
