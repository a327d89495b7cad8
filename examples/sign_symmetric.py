"""Sign-symmetric feedback: errors travel back through the signs of the weights, not the weights.

Liao, Leibo & Poggio 2016 (arXiv:1510.05067) replace W by sign(W) on the way back; Xiao et al. 2018
(arXiv:1811.03567) and Moskovitz, Litwin-Kumar & Abbott 2018 (arXiv:1812.06488) train deep
convolutional networks like that.

Choices for a pre-LN residual MLP, where a block is W2 GELU(W1 LN(h) + b1) + b2 beside a skip path:

- Signs stand for W1 and W2 of every block. The skip path, GELU's slope, LayerNorm and the output
  layer pass errors back as backpropagation has it.
- sign(W) has entries of size 1, which would drown the skip path. It is scaled to the norm of W, one
  number per matrix and step, as Moskovitz et al. normalise their feedback.
- As every rule here, it trains blocks on directions of unit size, so that there is nothing to make
  up for as there is in Liao et al. (batch normalisation, updates by their sign).
"""

from torch import Tensor

from credit.networks import resmlp
from credit.rules import Costs, Rule, Shape, State, Trace


class SignSymmetric(Rule):
    """a_L = g_L; a_l is a_{l+1} pulled back through block l, its W replaced by rms(W) sign(W)."""

    local = False  # errors do go back through the blocks
    exact_at_output = True
    reads_weights = True

    def credit(self, state: State, trace: Trace) -> list[Tensor]:
        back = {
            name: signs(weight) if name.endswith(("fc1.weight", "fc2.weight")) else weight
            for name, weight in trace.weights.items()
        }
        credits = [trace.grad_out]
        for block in reversed(range(trace.depth)):
            seen = resmlp.block_forward(trace.weights, block, trace.hiddens[block])
            credits.append(resmlp.block_input_vjp(back, block, seen, credits[-1]))
        return credits[::-1]

    def costs(self, shape: Shape) -> Costs:
        return Costs(credit=4 * shape.depth * shape.width**2)  # through every block, and back


def signs(weight: Tensor) -> Tensor:
    """sign(W) with the norm of W. (..., o, i) -> (..., o, i)."""
    size = weight.square().mean(dim=(-2, -1), keepdim=True).sqrt()
    return weight.sign() * size
