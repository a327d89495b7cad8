"""Diagnose a network of your own: is its gradient a reference, and where does a credit point?"""

from credit.commands.base import argument, command, option
from credit.errors import CreditError

NONE = "none"
OPTIONS = (
    argument("factory", metavar="PACKAGE.MODULE:FACTORY"),
    option("dataset", "cifar10", "images and labels of its held-out set"),
    option("samples", "256", "how many of them", int),
    option("weights", NONE, "its state_dict, as safetensors.torch.save_file writes it"),
    option("credit", NONE, "a rule that needs no weights, such as dfa, or backward"),
    option("seed", "0", "of random directions and what a rule draws", int),
)


@command("diagnose", *OPTIONS, doc=__doc__)
def COMMAND(factory: str, dataset: str, samples: str, weights: str, credit: str, seed: str) -> None:
    import copy

    import torch  # here: --help needs it not
    from safetensors.torch import load_file

    from credit.data import load
    from credit.data.batches import held_out
    from credit.diagnosis import diagnose
    from credit.networks import kinds
    from credit.networks.size import SIZES
    from credit.spec import RunSpec
    from credit.values import parse_value

    count, own_seed = parse_value("samples", int, samples), parse_value("seed", int, seed)
    if count < 2:
        raise CreditError(f"samples={count}: pass 2 or more")
    spec = RunSpec(network=factory, dataset=dataset)
    if dataset not in SIZES:
        raise CreditError(f"dataset={dataset} has no images: choose from {', '.join(SIZES)}")
    size = SIZES[dataset]
    model = kinds.plain_module(spec, size.image, size.classes)
    if weights != NONE:
        try:
            model.load_state_dict(load_file(weights))
        except Exception as error:  # a file may hold anything
            cause = " ".join(str(error).split())[:200]
            raise CreditError(f"weights={weights} do not fit the network: {cause}") from error
    x, y = held_out(load(dataset), torch.float32, count)
    images = x.reshape(-1, *size.image)
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            copy.deepcopy(model)(images[:2])
    except Exception as error:  # the user's code: anything may come
        cause = " ".join(str(error).split())[:200]
        shape = "x".join(map(str, size.image))
        raise CreditError(
            f"{factory} takes no images of {shape}: {type(error).__name__}: {cause}"
        ) from error
    chosen = None if credit == NONE else credit
    print(diagnose(model, images, y, credit=chosen, seed=own_seed))
