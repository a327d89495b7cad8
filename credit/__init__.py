"""credit: the audit bench for credit assignment.

import credit

ladder = credit.ladder(preset="quick")  # does training more blocks raise accuracy?
credit.diagnose(model, x, y)  # does a credit point where the gradient points?
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

for name, value in {"DISABLE_TELEMETRY": "true", "LOGGING_LEVEL": "WARNING"}.items():
    os.environ.setdefault(f"MLFLOW_{name}", value)  # read when mlflow is imported

if TYPE_CHECKING:
    from credit.api import Result, audit, compare, ladder, load, run, train
    from credit.diagnosis import Diagnosis, diagnose

__all__ = ["Diagnosis", "Result", "audit", "compare", "diagnose", "ladder", "load", "run", "train"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Import what is asked for: torch takes seconds."""
    if name not in __all__:
        raise AttributeError(f"module 'credit' has no attribute {name!r}")
    home = "diagnosis" if name in ("Diagnosis", "diagnose") else "api"
    return getattr(importlib.import_module(f"credit.{home}"), name)
