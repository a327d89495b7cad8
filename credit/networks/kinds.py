"""Kinds of networks by name: one file each, or the user's as `package.module:factory`.

A factory is called with those of the arguments `image` (C, H, W), `classes`, `width`, `depth`,
`activation`, `alpha` and `terminal_norm` that it names, and returns a torch module with the parts
`embed`, `blocks` and `head`. It draws parameters from torch's global generator.
"""

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from credit import networks
from credit.errors import CreditError
from credit.networks.base import Counts, Network, Shape
from credit.networks.by_hand import ResMLP
from credit.networks.module import ModuleNetwork
from credit.networks.probe import probe
from credit.values import check_names, format_value

if TYPE_CHECKING:
    from credit.spec import RunSpec

RESMLP = "resmlp"
_SHARED = ("arithmetic", "base", "by_hand", "forms", "kinds", "module", "plain", "probe", "size")
_OPTIONAL = ("activation", "alpha", "terminal_norm")
"""Settings that some networks read, and that no other may claim."""

Factory = Callable[..., nn.Module]


@cache
def available() -> tuple[str, ...]:
    """Names of the networks in this package, in alphabetical order."""
    names = (module.name for module in pkgutil.iter_modules(networks.__path__))
    return tuple(name for name in names if name not in _SHARED)


def of(
    spec: "RunSpec", shape: Shape, device: torch.device | str, dtype: torch.dtype
) -> Network[Any]:
    """The network of a run; of one thread, as `ModuleNetwork` says."""
    return _of(spec.network, shape, _settings(spec), device, dtype)


def _of(
    name: str, shape: Shape, settings: tuple, device: torch.device | str, dtype: torch.dtype
) -> Network[Any]:
    given: dict[str, Any] = dict(zip(_OPTIONAL, settings, strict=True))
    if name == RESMLP:
        return ResMLP(shape, given["terminal_norm"])
    return ModuleNetwork(_made(name, shape, given), shape, device, dtype)


def _settings(spec: "RunSpec") -> tuple:
    return tuple(getattr(spec, name) for name in _OPTIONAL)


def sizes(spec: "RunSpec", shape: Shape) -> Counts:
    """Count the parameters of a run's network."""
    return _counted(spec.network, shape, _settings(spec))[0]


def products(spec: "RunSpec", shape: Shape) -> Counts:
    """Count the multiply-adds of one sample through a run's network, forward."""
    return _counted(spec.network, shape, _settings(spec))[1]


@lru_cache(maxsize=256)
def _counted(name: str, shape: Shape, settings: tuple) -> tuple[Counts, Counts]:
    network = _of(name, shape, settings, "cpu", torch.float32)
    return network.sizes(), network.products()


def shape_of(spec: "RunSpec", image: tuple[int, ...], classes: int) -> Shape:
    """The dimensions of a run's network for inputs of the form `image`.

    Raises:
        CreditError: the network cannot be made, or is not what a network has to be.
    """
    plain = Shape(torch.Size(image).numel(), spec.width, classes, spec.depth)
    if spec.network == RESMLP:
        return plain
    return _probed(spec.network, plain._replace(image=tuple(image)), _settings(spec))


@lru_cache(maxsize=256)
def _probed(name: str, shape: Shape, settings: tuple) -> Shape:
    return probe(name, _made(name, shape, dict(zip(_OPTIONAL, settings, strict=True))), shape)


def check(spec: "RunSpec") -> None:
    """Refuse settings that a run's network does not read.

    Raises:
        CreditError: it names one, or the network does not exist.
    """
    if spec.network == RESMLP:
        if spec.activation not in ("gelu", "phi"):
            raise CreditError(f"activation={spec.activation} is not resmlp's: pass gelu or phi")
        return
    known = inspect.signature(factory(spec.network)).parameters
    unread = [name for name in _OPTIONAL if name not in known]
    for name in (*unread, "penalty", "precision"):
        value, usual = getattr(spec, name), getattr(type(spec), name)
        allowed = (usual, "fp64", "tf32") if name == "precision" else (usual,)
        if value not in allowed:
            raise CreditError(
                f"{name}={format_value(value)} does not go with network={spec.network}: "
                f"pass {format_value(usual)}, or leave out the arms that set it"
            )


def factory(name: str) -> Factory:
    """Return what makes the network called `name`.

    Raises:
        CreditError: there is none, or its file cannot be loaded.
    """
    module_name, colon, function = name.partition(":")
    if not colon:
        check_names([name], available(), "network")
        return importlib.import_module(f"{networks.__name__}.{name}").network
    try:
        return getattr(importlib.import_module(module_name), function)
    except (Exception, SystemExit) as error:  # this runs the user's file: anything may come
        cause = " ".join(str(error).split()) or type(error).__name__
        raise CreditError(
            f"cannot load network {name!r}: {cause}; give it as package.module:factory and mend it "
            f'until python -c "from {module_name} import {function}" works'
        ) from error


def quick(name: str) -> Mapping[str, str]:
    """Return what the quick preset of an experiment sets otherwise for this network."""
    if ":" in name or name == RESMLP:
        return {}
    check_names([name], available(), "network")
    return importlib.import_module(f"{networks.__name__}.{name}").QUICK


def plain_module(spec: "RunSpec", image: tuple[int, ...], classes: int) -> nn.Module:
    """Return the torch module of any factory, which needs no parts where nothing trains it.

    Raises:
        CreditError: it cannot be made, or is `resmlp`, which is no module.
    """
    if spec.network == RESMLP:
        raise CreditError(f"network={RESMLP} is no torch module: name a factory of your own")
    shape = Shape(torch.Size(image).numel(), spec.width, classes, spec.depth, image=image)
    settings: dict[str, Any] = dict(zip(_OPTIONAL, _settings(spec), strict=True))
    return _made(spec.network, shape, settings)()


def _made(name: str, shape: Shape, settings: dict[str, Any]) -> Callable[[], nn.Module]:
    make = factory(name)
    sizes = {k: getattr(shape, k) for k in ("image", "classes", "width", "depth")}
    known = inspect.signature(make).parameters
    given = {k: value for k, value in {**sizes, **settings}.items() if k in known}

    def made() -> nn.Module:
        try:
            return make(**given)
        except CreditError:
            raise
        except Exception as error:  # the user's code: anything may come
            cause = " ".join(str(error).split())[:200]
            raise CreditError(
                f"network {name!r} cannot be made: {type(error).__name__}: {cause}"
            ) from error

    return made
