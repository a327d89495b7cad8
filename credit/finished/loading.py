"""The trained network of a finished run as a torch module."""

from collections.abc import Collection
from typing import Any

from torch import nn

from credit import rules
from credit.finished.starting import WEIGHTS, finished_network
from credit.networks.kinds import RESMLP, plain_module
from credit.networks.module import Parts
from credit.networks.plain import PlainResMLP
from credit.networks.size import SIZES
from credit.tracking.reader import Reader
from credit.training import checkpoint


def trained(reader: Reader, run_id: str, trust: Collection[str] = ()) -> nn.Module:
    """Return a run's network with its weights, in evaluation mode.

    Raises:
        CreditError: the run is not finished, has no weights, or its network is code from outside
            that is not trusted.
    """
    spec = finished_network(reader, run_id)
    rules.refuse_untrusted(spec.replace(rule="bp"), trust, f"run {run_id}")
    _, params = checkpoint.network_of(reader.artifact(run_id, WEIGHTS))
    if spec.network == RESMLP:
        return PlainResMLP(params).eval()
    size = SIZES[spec.dataset]
    made: Any = plain_module(spec, size.image, size.classes)
    module = Parts(made.embed, made.blocks, made.head)
    module.load_state_dict(params, strict=False)  # buffers are not trained and not stored
    return module.to(next(iter(params.values())).dtype).eval()
