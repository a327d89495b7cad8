"""What a measurement sees and what it hands back.

Shape legend: R runs of the stack, n held-out samples, d width, C classes, L depth. All gradients
are per sample, of the sample's own loss: no batch size is hidden in any number, but for networks
with BatchNorm, where samples of a batch touch each other.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_unflatten

from credit.networks.arithmetic import output_error
from credit.networks.base import Network, Params
from credit.randomness import generator

if TYPE_CHECKING:
    from credit.spec import RunSpec

CONTROLS = ("g", "neg_g", "random")
"""Credits with a known answer, measured beside the rule's: the gradient, its negative, noise."""


class Options(NamedTuple):
    """The fields of a RunSpec that measurements read, under the same names."""

    directions: int = 32
    """Random directions per sample for ρ."""
    direction_eps: float = 1e-3
    """Length of a step along each of them."""
    nudge_eta: float = 0.01
    """Length of a nudge."""
    relative_steps: bool = False
    """Whether both lengths are shares of ‖h_l‖."""
    reference_floor: float = 1e-7
    """Bound of D2 on ‖g_L‖, as the gradient of a mean over 1024 samples."""

    @classmethod
    def from_spec(cls, spec: "RunSpec") -> "Options":
        """Return the options of a run."""
        return cls(*(getattr(spec, name) for name in cls._fields))


@dataclass
class Report:
    """What was measured of one run."""

    metrics: dict[str, float] = field(default_factory=dict)
    """Valid, finite numbers by metric name. What is not valid is absent."""
    layers: list[dict] = field(default_factory=list)
    """One row per hidden state: raw values (None where there is no number) and their status."""

    def add(self, name: str, value: float | None) -> None:
        """Record a metric, unless it is no finite number."""
        if value is not None and math.isfinite(value):
            self.metrics[name] = value

    def add_means(self, name: str, values: Sequence[float | None]) -> None:
        """Mean over l >= 1 as `name/deep`; only when every one of those layers is valid."""
        self.add(f"{name}/deep", mean_of(values[1:]))

    def add_layers(self, name: str, values: Sequence[float | None]) -> None:
        """Record `name/hNN` of every layer, and their mean."""
        for layer, value in enumerate(values):
            self.add(f"{name}/{layer_name(layer)}", value)
        self.add_means(name, values)


@dataclass(frozen=True)
class Probe:
    """A stack of runs seen on one held-out batch."""

    network: Network[Any] | None  # None where what is measured rolls forward by itself
    params: Params  # (R, ...)
    labels: Tensor  # (n,)
    hiddens: list[Tensor]  # h_0 .. h_L, each (R, n, d)
    grads: list[Tensor]  # g_0 .. g_L, each (R, n, d), the exact reference
    credits: list[Tensor]  # a_0 .. a_L, each (R, n, d), what the rule assigns
    options: Options
    seeds: tuple[int, ...]
    exact_at_output: tuple[bool, ...]
    inputs: Tensor | None = field(default=None, kw_only=True)  # (n, D)
    pause: Callable[[], None] = field(default=lambda: None, kw_only=True)
    """Called before each roll forward; what it raises ends the measurement."""
    _kept: dict[tuple, Any] = field(default_factory=dict, kw_only=True, repr=False)
    """What several measurements ask for."""

    @property
    def runs(self) -> int:
        return len(self.seeds)

    def losses(self, run: int, layer: int, h: Tensor) -> Tensor:
        """One run's loss of each sample, rolled forward from h_layer = h in the precision of h.

        h (n, d) or (m, n, d) -> (n,) or (m, n), float64.
        """
        self.pause()
        assert self.network is not None
        params = self._once(("run", run), lambda: {n: p[run] for n, p in self.params.items()})
        if h.dtype != self.hiddens[0].dtype:
            params = {name: p.to(h.dtype) for name, p in params.items()}
        logits = self.network.tail(params, h.flatten(0, -2), layer)
        return sample_losses(logits.unflatten(0, h.shape[:-1]), self.labels)

    def losses_before(self, run: int, layer: int, dtype: torch.dtype) -> Tensor:
        """`losses` of one run at its own h_layer, (n,)."""
        h = self.hiddens[layer][run].to(dtype)
        return self._once(("before", run, layer, dtype), lambda: self.losses(run, layer, h))

    def exact(self, run: int) -> list[Tensor]:
        """One run's g_0 .. g_L in float64, each (n, d), from its weights and the inputs."""
        self.pause()
        assert self.network is not None and self.inputs is not None
        params = {name: p[run : run + 1].double() for name, p in self.params.items()}
        seen = self.network.forward(params, self.inputs.double())
        error = output_error(seen.logits, self.labels)
        return [g[0] for g in self.network.hidden_gradients(params, seen, error)]

    def noise(self, seed: int, layer: int) -> Tensor:
        """The random control credit of `layer` for a seed, (n, d), standard normal."""
        h = self.hiddens[layer]

        def draw() -> Tensor:
            source = generator(seed, "control", layer)
            return torch.randn(h.shape[1:], generator=source).to(h)

        return self._once(("control", seed, layer), draw)

    def control(self, name: str, run: int, layer: int) -> Tensor:
        """The control credit `name` (of CONTROLS) for one run, (n, d)."""
        if name == "random":
            return self.noise(self.seeds[run], layer)
        g = self.grads[layer][run]
        return g if name == "g" else -g

    def _once(self, key: tuple, make: Callable[[], Any]) -> Any:
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]


def fetched(tree: Any) -> Any:
    """Return lists and dictionaries with floats in place of numbers on a device: one transfer.

    Tensors have one element, or one dimension, which becomes a list.
    """
    leaves, form = tree_flatten(tree)
    tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
    if not tensors:
        return tree
    values = iter(torch.cat([t.reshape(-1).double() for t in tensors]).tolist())

    def read(leaf: Any) -> Any:
        if not isinstance(leaf, Tensor):
            return leaf
        return [next(values) for _ in range(len(leaf))] if leaf.dim() else next(values)

    return tree_unflatten([read(leaf) for leaf in leaves], form)


def on_host(tree: Any) -> Any:
    """Return lists and dictionaries with tensors as float64 on the CPU, of any size: one transfer.

    Tensors on the CPU stay as they are.
    """
    leaves, form = tree_flatten(tree)
    tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
    if not tensors or tensors[0].device.type == "cpu":
        return tree
    flat = torch.cat([t.reshape(-1).double() for t in tensors]).cpu()
    parts = iter(flat.split([t.numel() for t in tensors]))
    moved = [next(parts).view(t.shape) if isinstance(t, Tensor) else t for t in leaves]
    return tree_unflatten(moved, form)


def mean_of(values: Sequence[float | None]) -> float | None:
    """Arithmetic mean; None if there are no values or any is missing."""
    present = [v for v in values if v is not None]
    return sum(present) / len(present) if values and len(present) == len(values) else None


def number(value: Tensor | float) -> float | None:
    """`value` as a float, None where it is not finite."""
    value = float(value)
    return value if math.isfinite(value) else None


def layer_name(layer: int) -> str:
    """Return how a hidden state is called in metric names: h00, h01, ..."""
    return f"h{layer:02d}"


def sample_losses(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of each sample in float64. logits (..., n, C), labels (n,) -> (..., n).

    Loss differences along small steps are far below float32's resolution of the loss itself.
    """
    logits = logits.double()
    index = labels.expand(logits.shape[:-1]).unsqueeze(-1)
    return logits.logsumexp(-1) - logits.gather(-1, index).squeeze(-1)
