"""Fresh feedback: the alignment of a rule whose feedback is drawn anew at evaluation.

Networks turn towards the feedback that they have trained with. Under other feedback, drawn in the
same way, alignment must vanish; where it does not, it is no alignment with feedback.
"""

from collections.abc import Sequence

from torch import Tensor

from credit import rules
from credit.measures import vectors
from credit.measures.base import fetched, mean_of, number
from credit.networks.base import Shape
from credit.randomness import generator
from credit.rules import State, Trace
from credit.spec import RunSpec

FEEDBACK = "feedback"
"""How the entries of a state begin that are drawn once and never learned."""


def alignment(
    spec: RunSpec, shape: Shape, state: State, trace: Trace, exact: Sequence[Tensor]
) -> dict[str, float]:
    """Return `fresh/deep_inner`, the mean Γ over 1 <= l < L.

    Nothing of rules without feedback, and of those that go back through the blocks: there skips
    and slopes carry the direction, whatever the feedback is.

    Args:
        state, trace: of one run, without a run dimension.
        exact: g_0 .. g_L, each (N, d).
    """
    rule = rules.of(spec)
    if not rule.local or rule.learned or not any(key.startswith(FEEDBACK) for key in state):
        return {}
    drawn = rule.init(spec, shape, generator(spec.seed, "fresh feedback"))
    other = {key: value.to(state[key]) for key, value in drawn.items()}
    credits = rule.credit(other, trace)
    pairs = zip(credits[1:-1], exact[1:-1], strict=True)
    means = fetched([vectors.cosine(a, g).double().nanmean() for a, g in pairs])
    found = mean_of(list(map(number, means)))
    return {} if found is None else {"fresh/deep_inner": found}
