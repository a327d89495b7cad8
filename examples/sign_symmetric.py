"""Sign-symmetric feedback: errors travel back through the signs of the weights, not the weights.

Liao, Leibo & Poggio 2016 (arXiv:1510.05067) replace W by sign(W) on the way back; Xiao et al. 2018
(arXiv:1811.03567) and Moskovitz, Litwin-Kumar & Abbott 2018 (arXiv:1812.06488) train deep
convolutional networks like that. The package has the rule as `sign_symmetric`; this is how somebody
else would write it.

Choices:

- Signs stand for every weight of a Linear or convolution in a block. Skips, slopes of activations,
  norms and the output layer pass errors back as backpropagation has it.
- sign(W) has entries of size 1, which would drown a skip path. It is scaled to the norm of W, one
  number per matrix and step, as Moskovitz et al. normalise their feedback.
- As every rule here, it trains blocks on directions of unit size, so that there is nothing to make
  up for as there is in Liao et al. (batch normalisation, updates by their sign).
"""

from torch import Tensor

from credit.rules import Costs, Rule, Shape, State, Trace


class SignSymmetric(Rule):
    """a_L = g_L; a_l is a_{l+1} pulled back through block l, its W replaced by rms(W) sign(W)."""

    local = False  # errors do go back through the blocks
    exact_at_output = True
    reads_weights = True

    def credit(self, state: State, trace: Trace) -> list[Tensor]:
        credits = [trace.grad_out]
        for block in reversed(range(trace.depth)):
            names = trace.network.matrices(block)
            back = {name: signs(trace.weights[name]) for name in names}
            credits.append(trace.pull(credits[-1], block, back))
        return credits[::-1]

    def costs(self, shape: Shape) -> Costs:
        return Costs(passes=2)  # through every block, and back


def signs(weight: Tensor) -> Tensor:
    """sign(W) with the norm of W."""
    return weight.sign() * weight.square().mean().sqrt()
