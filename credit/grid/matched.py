"""A network of another depth with the same number of parameters."""

from bisect import bisect_left

from credit.errors import CreditError
from credit.network_size import SIZES, parameters
from credit.spec import RunSpec


def matched_width(spec: RunSpec, depth: int = 1) -> int:
    """The width at which `depth` blocks have nearest to as many parameters as `spec`'s network.

    Counted over the whole network: on CIFAR-10 the embedding holds more than half of them, so that
    leaving blocks out widens it little. Of two equally near, the narrower.

    Raises:
        CreditError: the dataset has no network.
    """
    if spec.dataset not in SIZES:
        raise CreditError(
            f"dataset={spec.dataset} has no network to match: choose from {', '.join(SIZES)}"
        )
    wanted = parameters(vars(spec))

    def count(width: int) -> float:
        return parameters({**vars(spec), "width": width, "depth": depth})

    above = 1 + bisect_left(range(1, int(wanted) + 1), wanted, key=count)
    return min((max(above - 1, 1), above), key=lambda width: abs(count(width) - wanted))
