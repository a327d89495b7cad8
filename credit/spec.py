"""RunSpec: every knob of one run.

Command-line flags, logged parameters and the column types of a query all come from this class.
Unknown keys and impossible values are errors before any compute is spent.
"""

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from credit.errors import CreditError
from credit.values import LARGEST as LARGEST
from credit.values import check_names, format_value, parse_value
from credit.values import same_value as same_value

SCHEMA = "1"
"""Version of the tracking contract (parameters, metric names, checkpoints); tag `credit.schema`."""


def _knob(
    default: Any,
    help: str,
    at_least: float | None = None,
    at_most: float | None = None,
    one_of: tuple = (),
    short: str | None = None,
) -> Any:
    """Declare a field of RunSpec.

    `short` is what a run's name shows before the value: of knobs of rules that learn.
    """
    allowed = {"at_least": at_least, "at_most": at_most, "one_of": one_of}
    return field(default=default, metadata={"help": help, "short": short, **allowed})


@dataclass(frozen=True, kw_only=True)
class RunSpec:
    """One training run. The defaults are the published CIFAR-10 recipe at d=256, L=4."""

    dataset: str = _knob(
        "cifar10",
        "what to train on",
        one_of=("cifar10", "cifar100", "fashion_mnist", "digits", "teacher", "toy_lq"),
    )
    rule: str = _knob("bp", "credit rule: a name, or package.module:Rule")
    rule_code: str = _knob("none", "digest of the code of a rule from outside the package")
    rule_option: str = _knob(
        "none", "fields of a rule's own, as in magnitude=fixed or k=32,beta=0.5"
    )
    k: int = _knob(4, "trainable blocks, counted from the last", at_least=0)
    seed: int = _knob(42, "names every random stream of the run", at_least=0)
    network: str = _knob("resmlp", "network: a name, or package.module:factory")
    network_code: str = _knob("none", "digest of the code of a network from outside the package")
    width: int = _knob(256, "units per hidden state, d", at_least=1)
    depth: int = _knob(4, "residual blocks, L", 1, 1000)
    activation: str = _knob(
        "gelu",
        "of the blocks; phi is (1-alpha) z + alpha tanh(z); relu and tanh are network=mlp's",
        one_of=("gelu", "phi", "relu", "tanh"),
    )
    alpha: float = _knob(1.0, "share of tanh in activation=phi", 0, 1)
    terminal_norm: bool = _knob(True, "LayerNorm between h_L and the output layer")
    epochs: int = _knob(100, "passes over the training set", at_least=1)
    batch_size: int = _knob(128, "samples per step; the last short batch is kept", at_least=1)
    lr: float = _knob(1e-3, "AdamW learning rate, cosine per epoch to 0", at_least=0)
    weight_decay: float = _knob(0.01, "AdamW decoupled weight decay", at_least=0)
    clip: float = _knob(1.0, "largest gradient norm of a block under a local rule", at_least=0)
    penalty: float = _knob(0.0, "lambda of the residual-branch penalty", at_least=0)
    credit_eps: float = _knob(1e-6, "epsilon in norm(v) = v / (rms(v) + eps)", at_least=0)
    credit_reduction: str = _knob(
        "published",
        "loss whose gradient the credit starts from; 'published' is the rule's own convention",
        one_of=("published", "mean", "sum"),
    )
    code: str = _knob(
        "eT",
        "what the estimator is told of the output error",
        one_of=("eT", "deltaL", "eT_hL", "deltaL_hL"),
        short="",
    )
    warmup_ratio: float = _knob(
        0.05, "share of epochs, in whole ones, that train on dfa's credit first", 0, 1, short="warm"
    )
    tgw: float = _knob(1.0, "weight of terminal gradient matching", at_least=0, short="tgw")
    tau: float = _knob(0.1, "temperature of the bridge's soft minimum", at_least=1e-6, short="τ")
    sigma: float = _knob(0.1, "noise of the bridge's draws", at_least=0, short="σ")
    sigma_relative: bool = _knob(False, "sigma relative to the rms of the state", short="σrel")
    draws: int = _knob(8, "noisy successors per sample of the bridge", at_least=1, short="draws")
    ema: float = _knob(0.995, "decay of the copy that makes bridge targets", 0, 1, short="ema")
    field_directions: int = _knob(4, "M, the field's directions per sample", 1, short="M")
    field_eps: float = _knob(0.01, "step along each of them", at_least=1e-6, short="step")
    one_sided: bool = _knob(False, "forward instead of central differences", short="one-sided")
    terminal_weight: float = _knob(1.0, "weight of the field's terminal term", 0, short="terminal")
    shuffle: bool = _knob(False, "control: permute the field's targets", short="shuffle")
    estimator_width: int = _knob(256, "units of the estimator's layers", 1, short="width")
    estimator_depth: int = _knob(3, "layers, the output among them", 2, 1000, short="layers")
    estimator_lr: float = _knob(1e-3, "AdamW learning rate of the estimator", 0, short="elr")
    estimator_every: int = _knob(1, "steps between its updates", at_least=1, short="every")
    estimator_layers: int = _knob(1, "layers a step shows it per sample; 0: all", 0, short="shown")
    estimator_relative: bool = _knob(
        False,
        "outputs of the estimator in units of the batch (rms of h_L, or of the gradient there), "
        "and field_eps relative to the norm of h_l",
        short="rel",
    )
    start: str = _knob("none", "spec hash of a finished run to start from; none draws the network")
    embed_trains: bool = _knob(True, "the embedding trains; false keeps it as it starts")
    head_trains: bool = _knob(True, "the output layer and its LayerNorm train")
    random_labels: bool = _knob(False, "control: training labels permuted, as the seed says")
    augment: bool = _knob(True, "random crop and flip of training images")
    train_samples: int = _knob(0, "use the first n training samples; 0 uses all", at_least=0)
    measure_every: int = _knob(10, "epochs between diagnostics; always at the last", at_least=1)
    measure_samples: int = _knob(1024, "held-out samples the diagnostics use", at_least=2)
    stale_steps: int = _knob(
        0,
        "measure at every measured epoch what its first n steps, and all of them, cost the "
        "estimator of its beginning in alignment; 0 does not",
        at_least=0,
    )
    directions: int = _knob(32, "random directions per sample for rho", at_least=1)
    direction_eps: float = _knob(1e-3, "length of a rho perturbation", at_least=0)
    nudge_eta: float = _knob(0.01, "length of a nudge", at_least=0)
    relative_steps: bool = _knob(False, "perturbations and nudges relative to the norm of h_l")
    reference_floor: float = _knob(
        1e-7, "bound of D2 on the norm of g_L, as the gradient of a mean over 1024", at_least=0
    )
    device: str = _knob("auto", "auto, cpu, cuda or cuda:N")
    precision: str = _knob(
        "fp32", "arithmetic of training", one_of=("fp32", "tf32", "bf16", "fp64")
    )

    def __post_init__(self) -> None:
        for knob in dataclasses.fields(self):
            value = getattr(self, knob.name)
            object.__setattr__(self, knob.name, _checked(knob, value, knob.name))
        if self.k > self.depth:
            raise CreditError(
                f"k={self.k} exceeds depth={self.depth}: k counts trainable blocks, "
                f"pass k between 0 and {self.depth}"
            )
        if not re.fullmatch(r"auto|cpu|cuda(:[0-9]+)?", self.device):
            raise CreditError(
                f"device={self.device!r} is not one of auto, cpu, cuda, cuda:N: pass one of these"
            )

    @property
    def name(self) -> str:
        """Return what the run is called: `dfa k2 s42`, and what sets it apart."""
        parts = [self.rule.rpartition(":")[2], f"k{self.k}", f"s{self.seed}"]
        if self.network != RunSpec.network:
            parts.append(self.network.rpartition(":")[2])
        if self.activation == "phi":
            parts.append(f"α{format_value(self.alpha)}")
        if self.penalty:
            parts.append(f"λ{format_value(self.penalty)}")
        if self.credit_eps != RunSpec.credit_eps:
            parts.append(f"eps{format_value(self.credit_eps)}")
        for knob in dataclasses.fields(self):
            short, value = knob.metadata["short"], getattr(self, knob.name)
            if short is not None and value != knob.default:
                parts.append(short if value is True else f"{short}{format_value(value)}")
        if self.rule_option != RunSpec.rule_option:
            parts.append(self.rule_option)
        if self.precision != RunSpec.precision:
            parts.append(self.precision)
        return " ".join(parts)

    @property
    def place(self) -> str:
        """The device by one name."""
        return one_place(self.device)

    @property
    def spec_hash(self) -> str:
        """16 hex digits that name this run: same fields and schema, same hash.

        Fields at their default are left out, so that a knob added later, whose default is what was
        done before, leaves the names of existing runs as they are. Changing a default needs a new
        SCHEMA. `cuda:0` counts as `cuda`, as in `place`.
        """
        changed = {
            f.name: format_value(getattr(self, f.name))
            for f in dataclasses.fields(self)
            if getattr(self, f.name) != f.default
        }
        if "device" in changed:
            changed["device"] = self.place
        text = json.dumps({"schema": SCHEMA, **changed}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def stack_key(self) -> tuple:
        """Runs with equal keys can be trained in one stack; permuted labels are a seed's own.

        Of networks, resmlp alone holds an `alpha` for each run.
        """
        params = {**self.to_params(), "device": self.place}
        shared = (value for name, value in params.items() if name not in MEMBER_FIELDS)
        alpha = None if self.network == RunSpec.network else self.alpha
        return (*shared, self.seed if self.random_labels else None, alpha)

    def replace(self, **changes: Any) -> "RunSpec":
        """A copy with some fields changed, checked again."""
        return RunSpec.from_mapping({**dataclasses.asdict(self), **changes})

    def to_params(self) -> dict[str, str]:
        """The fields as the strings that MLflow stores. `from_mapping` inverts it exactly."""
        return {f.name: format_value(getattr(self, f.name)) for f in dataclasses.fields(self)}

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> "RunSpec":
        """Build from a mapping whose values may be strings.

        Raises:
            CreditError: a key is unknown, or a value has the wrong type or range.
        """
        check_names(values, (f.name for f in dataclasses.fields(cls)), "parameter")
        return cls(**values)


LEARNED_FIELDS = frozenset(
    f.name for f in dataclasses.fields(RunSpec) if f.metadata["short"] is not None
)
"""Knobs of rules that learn their credit. A rule reads those that it declares; the others stay at
their default, so that no run claims a setting that changed nothing."""

MEMBER_FIELDS = LEARNED_FIELDS.union(
    ("rule", "rule_code", "rule_option", "k", "seed", "penalty"),
    ("credit_eps", "credit_reduction", "alpha", "start"),
)
"""Fields in which the runs of one stack may differ; in all others they must agree."""

SETTLED_FIELDS = frozenset({"rule_code", "network_code"})
"""Fields that no option sets: `sweep.resolve` does."""


def one_place(device: str) -> str:
    """Return a device by one name: the first GPU has two, `cuda` and `cuda:0`."""
    return "cuda" if device == "cuda:0" else device


def warmup_epochs(ratio: float, epochs: int) -> int:
    """Return how many of `epochs` are warm-up: the nearest whole number, of two the even one."""
    return round(ratio * epochs)


def check_field(name: str, value: Any, called: str) -> Any:
    """A value for the field `name` as its own type, which the user gave as the option `called`."""
    return _checked(RunSpec.__dataclass_fields__[name], value, called)


def field_types() -> dict[str, type]:
    """The Python type of every field, in order."""
    return {f.name: _type(f) for f in dataclasses.fields(RunSpec)}


def _type(knob: dataclasses.Field) -> type:
    return knob.type if isinstance(knob.type, type) else type(knob.default)


def _checked(knob: dataclasses.Field, value: Any, name: str) -> Any:
    """The value of a knob that messages call `name`."""
    value = parse_value(name, _type(knob), value)
    at_least, one_of = knob.metadata["at_least"], knob.metadata["one_of"]
    if at_least is not None and value < at_least:
        raise CreditError(f"{name}={format_value(value)} is too small: pass at least {at_least:g}")
    if (at_most := knob.metadata["at_most"]) is not None and value > at_most:
        raise CreditError(f"{name}={format_value(value)} is too large: pass at most {at_most:g}")
    if one_of:
        check_names([value], one_of, name)
    return value
