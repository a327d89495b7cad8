"""The trained network of a finished run as a torch module."""

from collections.abc import Collection
from typing import Any

from torch import nn

from credit import rules
from credit.errors import CreditError
from credit.finished.starting import WEIGHTS, finished_network
from credit.networks.kinds import RESMLP, plain_module
from credit.networks.module import Parts, seeded
from credit.networks.plain import PlainResMLP
from credit.networks.size import SIZES
from credit.tracking.reader import Reader
from credit.training import checkpoint


def trained(reader: Reader, run_id: str, trust: Collection[str] = ()) -> nn.Module:
    """Return a run's network with its weights, in evaluation mode.

    Raises CreditError where the run is not finished or has no weights, or its network is code that
    is not trusted, or has other parameters by now.
    """
    spec = finished_network(reader, run_id)
    rules.refuse_untrusted(spec.replace(rule="bp"), trust, f"run {run_id}")
    _, params = checkpoint.network_of(reader.artifact(run_id, WEIGHTS))
    if spec.network == RESMLP:
        return PlainResMLP(params).eval()
    size = SIZES[spec.dataset]
    # Buffers are not stored: they are drawn as `ModuleNetwork` draws them.
    made: Any = seeded(lambda: plain_module(spec, size.image, size.classes), 0)
    module = Parts(made.embed, made.blocks, made.head)
    own = {name: p.shape for name, p in module.named_parameters()}
    if own != {name: p.shape for name, p in params.items()}:
        raise CreditError(
            f"run {run_id} has other parameters than {spec.network} has now: load it with the code "
            "that it was trained with"
        )
    module.load_state_dict(params, strict=False)
    return module.to(next(iter(params.values())).dtype).eval()
