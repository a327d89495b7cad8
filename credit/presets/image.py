"""Presets of the experiments on images."""

_QUICK_CIFAR = {
    "width": "128",
    "epochs": "6",
    "train_samples": "20000",
    "measure_samples": "512",
    "directions": "8",
}

_QUICK_LEARNED = {
    **_QUICK_CIFAR,
    "width": "64",
    "epochs": "4",
    "train_samples": "5000",
    "measure_every": "4",
    "estimator_width": "64",
}
"""Estimators cost several times what the network does."""

_LADDER = {"rules": "bp,oracle,fa,dfa", "ks": "all"}
_DIRECTION = {"rules": "dfa", "penalties": "0,0.01", "seeds": "42"}

_RELATIVE = {"estimator_relative": "true", "sigma_relative": "true"}
"""Hidden states of CIFAR-10 networks grow by orders of magnitude, so that estimators work in units
of the batch."""
_WARM = {"warmup_ratio": "0.25"}  # .05 of 4 epochs is none
_METHODS = {"rules": "bp,oracle,fa,dfa,state_bridge,credit_bridge", **_RELATIVE}
_FROZEN = {
    **_RELATIVE,
    "arms": "dfa,state_bridge,credit_eT,credit_deltaL,M4,M8,M16",
    "reference_epochs": "100",
    "reference_samples": "0",
    "measure_every": "10",
}
_ONLINE = {
    **_RELATIVE,
    "arms": "bp,oracle,dfa,state_bridge,credit_eT,credit_deltaL,vector_field",
    "warmups": "0,0.05,0.2",
    "tgws": "1,4",
    "scan_seeds": "42",
    "seeds": "42,123,456",
    "stale_steps": "50",
    "measure_every": "10",
    "width": "256",
    "depth": "4",
}
_CONTROLS = {
    "rules": "bp,oracle,fa,dfa",
    "controls": "base,shallow,random_labels,penalty,frozen_embedding",
    "control_penalty": "0.01",
    "width": "256",
    "depth": "4",
}
_SCALE = {
    "rules": "fa,dfa",
    "epss": "0,1e-12,1e-8,1e-6,1e-4",
    "reductions": "mean,sum",
    "seeds": "42,123,456",
    "measure_every": "5",
    "width": "256",
    "depth": "4",
}

IMAGE: dict[str, dict[str, dict[str, str]]] = {
    "ladder": {
        "published": {**_LADDER, "seeds": "42,123,456"},
        "quick": {**_LADDER, **_QUICK_CIFAR, "seeds": "42", "measure_every": "6"},
    },
    "direction_quality": {
        "published": _DIRECTION,
        "quick": {**_DIRECTION, **_QUICK_CIFAR},
    },
    "method_comparison": {
        "published": {**_METHODS, "width": "512", "depth": "12", "seeds": "42,123,456"},
        "reduced": {
            **_METHODS,
            "width": "512",
            "depth": "12",
            "seeds": "42",
            "epochs": "10",
            "warmup_ratio": "0.1",  # .05 of 10 epochs is none
            "train_samples": "20000",
        },
        "quick": {**_METHODS, **_QUICK_LEARNED, **_WARM, "depth": "4", "seeds": "42"},
    },
    "depth_scan": {
        "published": {**_METHODS, "width": "512", "depths": "2,4,6,8,12", "seeds": "42,123,456"},
        "reduced": {
            **_METHODS,
            "width": "512",
            "depths": "2,4,6,8,12",
            "seeds": "42",
            "epochs": "10",
            "warmup_ratio": "0.1",
            "train_samples": "5000",
            "directions": "8",
        },
        "quick": {**_METHODS, **_QUICK_LEARNED, **_WARM, "depths": "2,4", "seeds": "42"},
    },
    "frozen_recovery": {
        "published": {**_FROZEN, "networks": "256x4,256x6,512x4", "seeds": "42,123,456"},
        "reduced": {**_FROZEN, "networks": "256x4", "seeds": "42", "epochs": "20"},
        "quick": {
            **_FROZEN,
            "networks": "128x4",  # the quick ladder's, whose bp run is then the reference
            "seeds": "42",
            "arms": "dfa,state_bridge,credit_eT,credit_deltaL,M4",
            "epochs": "4",
            "train_samples": "5000",
            "measure_every": "6",
            "measure_samples": "512",
            "directions": "8",
            "estimator_width": "64",
            "reference_epochs": "6",
            "reference_samples": "20000",
        },
    },
    "online_scan": {
        "published": _ONLINE,
        "reduced": {
            **_ONLINE,
            "epochs": "10",
            "warmups": "0,0.1,0.2",
            "train_samples": "20000",
            "measure_every": "1",  # what is lost is lost in the first epochs
            "directions": "8",
        },
        "quick": {
            **_ONLINE,
            **_QUICK_LEARNED,
            "warmups": "0,0.25",  # of 4 epochs
            "seeds": "42,123",
            "stale_steps": "10",  # an epoch of `digits` has 12
        },
    },
    "matched_controls": {
        "published": {**_CONTROLS, "seeds": "42,123,456"},
        "reduced": {**_CONTROLS, "seeds": "42", "epochs": "12"},
        "quick": {**_CONTROLS, **_QUICK_CIFAR, "seeds": "42", "measure_every": "6"},
    },
    "credit_scale": {
        "published": _SCALE,
        "reduced": {**_SCALE, "epochs": "12", "measure_every": "4"},
        "quick": {
            **_SCALE,
            **_QUICK_CIFAR,
            "epss": "0,1e-8,1e-6,1e-4",
            "seeds": "42",
            "epochs": "4",
            "train_samples": "10000",
            "measure_every": "2",
        },
    },
}
