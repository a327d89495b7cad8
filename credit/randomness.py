"""Random numbers: one generator per purpose, each derived from (seed, purpose, index...).

Nothing in the project touches torch's global generator. Because a stream is named rather than
carried along, a resumed run needs no stored generator state: epoch 7's batch order is the stream
`("order", 7)` whether or not epochs 0-6 ran in this process.
"""

import hashlib

import torch


def generator(seed: int, purpose: str, *index: int) -> torch.Generator:
    """A CPU generator for the stream named by `seed`, `purpose` and optional indices.

    Draws are always made on the CPU and moved, so that a seed means the same numbers on every
    device.

    Args:
        seed: the run's seed.
        purpose: what the numbers are for, such as "init", "feedback", "order", "augmentation".
        index: further coordinates of the stream, such as the epoch.
    """
    name = "/".join([str(seed), purpose, *map(str, index)])
    digest = hashlib.sha256(name.encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
