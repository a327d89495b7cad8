"""Backpropagation: exact gradients of the batch-mean loss, end to end, no clipping."""

from torch import Tensor

from credit.rules.base import Look, Rule, State, Trace


class Backprop(Rule):
    """a_l = g_l, applied as it is.

    A residual-branch penalty stays local to its block here as under every other rule: its gradient
    does not reach the blocks below.
    """

    look = Look("#000000", "o", 0)
    local = False
    exact_at_output = True
    reads_hidden_grads = True
    surrogate = False

    def credit(self, state: State, trace: Trace) -> list[Tensor]:
        return trace.hidden_grads


RULE = Backprop()
