"""The modules whose outputs are the hidden states: named ones, or those that are found."""

from collections.abc import Iterator, Sequence

from torch import nn

from credit.errors import CreditError

Layer = tuple[str, nn.Module]
"""A module by the name that it has in the network."""
_STAGES = 3
"""From so many sequences of blocks side by side on, each is a hidden state: layer1 ... layer4."""
_SHARE = 0.25
"""Of a network's modules with weights, those within its blocks; a branch of one block has less."""


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the module inside `torch.compile`, DataParallel or DistributedDataParallel."""
    if not isinstance(model, nn.Module):
        raise CreditError(f"model is {type(model).__name__}: pass a torch.nn.Module")
    while True:
        if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
            model = model.module
        elif isinstance(inside := getattr(model, "_orig_mod", None), nn.Module):
            model = inside
        else:
            return model


def chosen(model: nn.Module, layers: Sequence[str | nn.Module] | None) -> list[Layer]:
    """Return layers given by name or as modules; None are those that are found. Refuses others."""
    if layers is None:
        return [(name, unwrapped(module)) for name, module in _found(model)]
    if isinstance(layers, nn.ModuleList | nn.Sequential):
        layers = list(layers)
    if isinstance(layers, str | nn.Module) or not layers:
        raise CreditError(f"layers={layers!r}: pass a list of names or modules, in order")
    modules = {_plain(name): module for name, module in model.named_modules()}
    names = {unwrapped(module): name for name, module in modules.items()}
    found = []
    for given in layers:
        name = names.get(unwrapped(given)) if isinstance(given, nn.Module) else _plain(given)
        if name not in modules:
            what = type(given).__name__ if isinstance(given, nn.Module) else repr(given)
            some = ", ".join(name for name in modules if name and name.count(".") < 2)
            raise CreditError(f"layer {what} is not in the model: it has {some or 'no modules'}")
        found.append((name, unwrapped(modules[name])))
    return found


def counterparts(model: nn.Module, layers: Sequence[Layer]) -> list[Layer]:
    """Return the layers of the same names in another model, or in a module of it."""
    for prefix, module in model.named_modules():
        own = dict(module.named_modules())
        if all(name in own for name, _ in layers):
            dot = f"{prefix}." if prefix else ""
            return [(dot + name, unwrapped(own[name])) for name, _ in layers]
    names = ", ".join(name for name, _ in layers)
    raise CreditError(f"model has no modules {names}: pass layers= that it and reference both have")


def _plain(name: str) -> str:
    """Return a name without what `torch.compile` adds to it."""
    return ".".join(part for part in name.split(".") if part != "_orig_mod")


def _found(model: nn.Module) -> list[Layer]:
    """Return the blocks: stages side by side, else the longest sequence, else the children."""
    best: list[Layer] = []
    rank, enough = (0, 0), _SHARE * _weighted(model)
    for prefix, module in _walk(model):
        children = [(prefix + name, child) for name, child in _children(module)]
        stages = [layer for layer in children if _is_sequence(layer[1]) and _blocks(layer[1])]
        if _is_sequence(module):
            size = _blocks(module), len([1 for _, child in children if _learns(child)])
            if len(children) > 1 and size > rank and _weighted(module) >= enough:
                best, rank = _read(children, last=module is not model), size
        elif len(stages) >= _STAGES and sum(_weighted(stage) for _, stage in stages) >= enough:
            return stages
    if not best:
        best = [layer for layer in _children(model) if _learns(layer[1])][:-1]
    if not best:
        raise CreditError(
            f"no hidden layers found in {type(model).__name__}: name them with layers=[...]"
        )
    return best


def _walk(module: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Yield modules with the prefix of their children's names; nothing within blocks."""
    yield prefix, module
    if not (_is_sequence(module) and _blocks(module) > 1):
        for name, child in _children(module):
            yield from _walk(child, f"{prefix}{name}.")


def _weighted(module: nn.Module) -> int:
    """Return how many modules within have weights of their own."""
    return sum(next(part.parameters(False), None) is not None for part in module.modules())


def _children(module: nn.Module) -> list[Layer]:
    return [(name, unwrapped(child)) for name, child in module.named_children()]


def _is_sequence(module: nn.Module) -> bool:
    return isinstance(module, nn.Sequential | nn.ModuleList)


def _blocks(module: nn.Module) -> int:
    """Return how many children are made of modules that learn."""
    return sum(bool(_children(child)) and _learns(child) for _, child in _children(module))


def _learns(module: nn.Module) -> bool:
    return next(module.parameters(), None) is not None


def _read(children: Sequence[Layer], last: bool) -> list[Layer]:
    """Return the children whose output a module that learns reads, and the last one if asked."""
    after = [_learns(child) for _, child in children[1:]]
    return [layer for layer, read in zip(children, [*after, last], strict=True) if read]
