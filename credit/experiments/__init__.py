"""The experiments, one file each: question, factors, presets, checks and figure as data.

The name of a file is the kind of its experiment, found by it.
"""

import importlib
import pkgutil
from types import ModuleType

from credit.lab import Experiment
from credit.spec import check_names

KINDS = tuple(sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_")))
"""Every kind of experiment; a file that begins with _ holds what several share."""


def find(kind: str) -> Experiment:
    """Return the experiment of a kind, as `find_module` finds it."""
    return find_module(kind).EXPERIMENT


def find_module(kind: str) -> ModuleType:
    """Return the file of a kind of experiment.

    Raises:
        CreditError: there is none.
    """
    check_names([kind], KINDS, "kind of experiment")
    return importlib.import_module(f"{__name__}.{kind}")
