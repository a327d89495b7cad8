"""Say what this machine has: versions, device, data, store, state, free memory. For bug reports."""

import importlib.metadata
import json as as_json
import os
import platform
import sys
from pathlib import Path

from credit import __version__
from credit.commands.base import command, flag
from credit.errors import CreditError

PACKAGES = ("torch", "torchvision", "mlflow", "numpy", "pandas", "matplotlib", "scipy", "click")


def facts() -> dict[str, str]:
    """Return what a maintainer asks for first; no line holds a password."""
    import psutil
    import torch

    from credit.data.loading import data_root
    from credit.sweep.options import CORES

    data = data_root()
    there = sorted(path.name for path in data.iterdir() if path.is_dir()) if data.is_dir() else []
    gpus = map(torch.cuda.get_device_name, range(torch.cuda.device_count()))
    return {
        "credit": f"{__version__}, {Path(__file__).parents[1]}",
        "python": f"{platform.python_version()}, {sys.executable}",
        "system": platform.platform(),
        "packages": ", ".join(f"{name} {_version(name)}" for name in PACKAGES),
        "CPU": f"{CORES} of {os.cpu_count()} cores, {torch.get_num_threads()} threads",
        "memory": f"{psutil.virtual_memory().available / 1e9:.1f} GB free",
        "GPU": ", ".join(gpus) or "none",
        "data": f"{data}: {', '.join(there) or 'nothing yet'}",
        **_store(),
    }


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "missing"


def _store() -> dict[str, str]:
    """Return where runs are tracked and whether that answers; a store is not made for it."""
    from credit.sweep.state import state_folder
    from credit.tracking import store

    uri = store.tracking_uri()
    shown, path = store.shown(uri), store.sqlite_path(uri)
    if path and not path.is_file():
        return {"store": f"{shown}: not made yet"}
    try:
        opened = store.open_store()
    except CreditError as error:
        return {"store": str(error)}
    return {"store": f"{shown}: answers", "state": str(state_folder(opened))}


@command("doctor", flag("json", "print JSON"), doc=__doc__)
def COMMAND(json: bool) -> None:
    found = facts()
    if json:
        print(as_json.dumps(found, indent=2))
        return
    width = max(map(len, found))
    for name, text in found.items():
        print(f"{name:<{width}}  {text}")
