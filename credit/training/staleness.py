"""Staleness: what an estimator is worth on the network as it has become since.

A learned rule is fitted to hidden states that the network then leaves. Its estimator is kept as it
is when an epoch begins, and its alignment measured on the network of that moment, on the network a
few steps later, and on the network at the epoch's end. What is lost between the three is what an
estimator that never learned again would lose; the up-to-date estimator's own alignment stands
beside it as `alignment/deep`.
"""

import contextlib
from collections.abc import Iterator

from credit.data import Dataset
from credit.rules import State
from credit.training.group import Group
from credit.training.measuring import measure_held_out
from credit.training.stack import Stack

MEANS = {"": "alignment/deep", "_inner": "alignment/deep_inner"}


class Staleness:
    """The estimators of a stack as they are now, to be measured again later.

    Attributes:
        metrics: per run, `staleness/now`, `staleness/steps`, ... and the same with `_inner` for
            1 <= l < L, where they are valid; empty for rules that learn nothing.
    """

    def __init__(self, stack: Stack, data: Dataset) -> None:
        self._stack, self._data = stack, data
        self._kept: list[tuple[Group, State]] = [
            (group, {name: tensor.clone() for name, tensor in group.state.items()})
            for lane in stack.lanes
            for group in lane.groups
            if group.rule.learned
        ]
        self.metrics: list[dict[str, float]] = [{} for _ in stack.specs]
        self.note("now")

    def note(self, moment: str) -> None:
        """Measure the kept estimators on the stack's networks as they are now."""
        if not self._kept:
            return
        with self._in_place():
            reports = measure_held_out(self._stack, self._data, only=("alignment",))
        learned = [self._stack.rule_of(row).learned for row in range(self._stack.size)]
        for metrics, report, learns in zip(self.metrics, reports, learned, strict=True):
            for suffix, mean in MEANS.items() if learns else ():
                if mean in report.metrics:
                    metrics[f"staleness/{moment}{suffix}"] = report.metrics[mean]

    @contextlib.contextmanager
    def _in_place(self) -> Iterator[None]:
        current = [group.state for group, _ in self._kept]
        for group, kept in self._kept:
            group.state = kept
        try:
            yield
        finally:
            for (group, _), state in zip(self._kept, current, strict=True):
                group.state = state
