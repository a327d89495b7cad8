"""A group: the runs of a lane that follow one rule with the same knobs.

It carries the rules' states and trains the estimators of rules that learn. Shape legend: G runs of
the group, N batch.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.func import vmap
from torch.utils._pytree import tree_map

from credit import rules
from credit.errors import CreditError
from credit.networks.base import Params
from credit.randomness import generator
from credit.rules import Rule, Shape, State, Trace
from credit.spec import RunSpec
from credit.training.optimizer import adamw, set_steps

UNBRAKED_EPS = 1e-15
"""Below this credit_eps, a credit can be so small that its squares underflow in float32."""
TRAINED = "estimator/"
"""Prefix of the entries of a learned rule's state that AdamW trains."""


class Group:
    """Runs with equal configured rules; `rows` is where they are in their lane."""

    def __init__(
        self,
        specs: Sequence[RunSpec],
        rows: slice,
        shape: Shape,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self.rule: Rule = rules.of(specs[0])
        self.rows = rows
        self.shape, self.device, self.dtype = shape, device, dtype
        self.seeds = [spec.seed for spec in specs]
        self.unbraked = min(spec.credit_eps for spec in specs) < UNBRAKED_EPS
        """A run's credit_eps is too small to stop credit from vanishing."""
        states = [self.rule.init(spec, shape, generator(spec.seed, "feedback")) for spec in specs]
        check_alike(specs[0].rule, states)
        self.state: State = {
            key: self._moved(_stacked([s[key] for s in states])) for key in states[0]
        }
        """Leading dimension G."""
        self.warm = False
        """Trains on the rule's warm-up credit."""
        self.learns = False
        """The rule's estimator is updated in this step."""
        self._every = specs[0].estimator_every if self.rule.learned else 0
        self._trained = [key for key in self.state if key.startswith(TRAINED)]
        self._optimizer = self._init_optimizer(specs[0].estimator_lr) if self._trained else None
        self._metrics: dict[str, Tensor] = {}
        self._updates = 0

    # ---------------------------------------------------------------- where training stands

    def set_phase(self, epoch: int, epochs: int, step: int) -> None:
        """Prepare for a step: epochs count from 0, and so do steps from the first of all."""
        self.warm = self.rule.warm(epoch, epochs)
        self.learns = self.rule.learned and step % self._every == 0

    def set_optimizer_steps(self, steps: int) -> None:
        """Continue AdamW's bias correction after `steps` steps of the network."""
        set_steps(self._optimizer, -(-steps // self._every) if self._every else 0)

    # ---------------------------------------------------------------- learning

    def noise(self, samples: int, step: int, purpose: str = "estimator") -> State:
        """What the rule draws in this step; (G, ...), or (...) where all seeds are one.

        A seed's numbers depend on the seed, the step and the rule, not on its neighbours.
        """
        if self.rule.learned and not self.learns:
            return {}
        one = {key: value[0] for key, value in self.state.items()}
        by_seed = {}
        for seed in dict.fromkeys(self.seeds):
            source = generator(seed, purpose, step)
            drawn = self.rule.noise(self.shape, samples, source)
            by_seed[seed] = drawn | self.rule.redrawn(one, samples, source)
        first = by_seed[self.seeds[0]]
        if len(by_seed) > 1:
            rows = [by_seed[seed] for seed in self.seeds]
            first = {name: torch.stack([row[name] for row in rows]) for name in first}
        return {name: self._moved(draw) for name, draw in first.items()}

    def lifted(self, method: Callable[..., Any], trace: Trace, *more: Any) -> Any:
        """Call a method of the rule, (state, trace, ...), for all runs at once."""
        dims = trace._make([0] * len(trace))._replace(noise=0 if len(set(self.seeds)) > 1 else None)
        shared = (None if isinstance(m, Tensor) else 0 for m in more)
        return vmap(method, in_dims=(0, dims, *shared))(self.state, trace, *more)

    def credits(self, trace: Trace) -> list[Tensor]:
        """a_0 .. a_L, each (G, N, d), of what the trace shows."""
        return self.lifted(self.rule.warmup_credit if self.warm else self.rule.credit, trace)

    def follow(self, trace: Trace, weights: Params, decay: Tensor) -> None:
        """Change the state after a step of the networks."""
        for name, value in self.lifted(self.rule.followed, trace, weights, decay).items():
            self.state[name].copy_(value)

    def learn(self, trace: Trace) -> None:
        """One step of the estimators on what the trace shows, (G, ...)."""
        assert self._optimizer is not None, f"{self.rule} learns, and has no {TRAINED} state"
        grads, metrics = self.lifted(self.rule.gradients, trace)
        for name in self._trained:
            self.state[name].grad = grads[name]
        self._optimizer.step()
        for name, value in vmap(self.rule.refreshed)(self.state).items():
            self.state[name].copy_(value)
        for name, value in metrics.items():
            if name not in self._metrics:
                self._metrics[name] = torch.zeros_like(value)
            self._metrics[name] += value

    def one_run(self, trace: Trace, member: int) -> tuple[State, Trace]:
        """One run's state, and its part of what the group is shown."""
        own = tree_map(lambda tensor: tensor[member], trace._replace(noise={}))
        shared = len(set(self.seeds)) == 1
        noise = {k: n if shared else n[member] for k, n in trace.noise.items()}
        state = {key: value[member] for key, value in self.state.items()}
        return state, own._replace(noise=noise)

    def count_update(self) -> None:
        """Say that a step is done, for the means of `take_metrics`."""
        self._updates += self.learns

    def take_metrics(self) -> list[dict[str, float]]:
        """Means over the updates since the last call, one dictionary per run; waits for them."""
        updates, self._updates = self._updates, 0
        if not updates:
            return [{} for _ in self.seeds]
        columns = {name: (total / updates).tolist() for name, total in self._metrics.items()}
        for total in self._metrics.values():
            total.zero_()
        return [{k: v[row] for k, v in columns.items()} for row in range(len(self.seeds))]

    def tally(self, member: int) -> State:
        """One run's sums over the updates since the last `take_metrics`, and how many those are."""
        sums = {name: total[member] for name, total in self._metrics.items()}
        return {**sums, "updates": torch.tensor(self._updates)} if self._updates else {}

    def set_tally(self, member: int, values: State) -> None:
        """Go on from what `tally` gave."""
        for name, value in values.items():
            if name == "updates":
                self._updates = int(value)
                continue
            if name not in self._metrics:
                self._metrics[name] = torch.zeros(len(self.seeds)).to(value)
            self._metrics[name][member] = value

    def _init_optimizer(self, lr: float) -> torch.optim.AdamW:
        """AdamW over all runs' estimators, its moments entries of the state."""
        views = [self.state[name] for name in self._trained]
        moments = [(torch.zeros_like(view), torch.zeros_like(view)) for view in views]
        for name, (first, second) in zip(self._trained, moments, strict=True):
            self.state |= {f"moment1/{name}": first, f"moment2/{name}": second}
        return adamw(views, moments, lr=lr)

    def _moved(self, draw: Tensor) -> Tensor:
        """A draw on the group's device: float32 in the run's precision, other types as they are."""
        return draw.to(self.device, self.dtype if draw.dtype == torch.float32 else draw.dtype)


def check_alike(rule: str, states: Sequence[State]) -> None:
    """Refuse states that cannot be stacked over runs."""
    if not isinstance(states[0], dict):
        kind = type(states[0]).__name__
        raise CreditError(f"init of rule {rule!r} returns a {kind}: return a dictionary of tensors")
    for state in states:
        for name, value in state.items():
            if not isinstance(value, Tensor):
                raise CreditError(
                    f"state {name!r} of rule {rule!r} is a {type(value).__name__}: make it a "
                    "tensor, or a constant of the rule's file"
                )
            if value.layout != torch.strided or value.is_quantized or value.is_nested:
                raise CreditError(
                    f"state {name!r} of rule {rule!r} has layout {value.layout}, which cannot be "
                    "stacked over runs: make it a dense tensor"
                )
        kinds = [{n: (v.dtype, tuple(v.shape)) for n, v in s.items()} for s in (states[0], state)]
        for name in {**state, **states[0]}:
            one, other = (kind.get(name, "missing") for kind in kinds)
            if one != other:
                raise CreditError(
                    f"state {name!r} of rule {rule!r} differs in type or shape between runs "
                    f"({one} and {other}) and cannot be stacked: let both follow from shape alone"
                )


def _stacked(states: list[Tensor]) -> Tensor:
    """Rule states along a new leading run dimension.

    A matrix per layer, (L, ., .), is laid out layer by layer, so that the matrices of one layer
    are one block: products copy what is not.
    """
    if states[0].dim() < 3:
        return torch.stack(states)
    return torch.stack(states, dim=1).movedim(1, 0)
