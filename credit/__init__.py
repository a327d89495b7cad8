"""credit: the audit bench for credit assignment."""

import os
from typing import TYPE_CHECKING, Any

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read when mlflow is imported

if TYPE_CHECKING:
    from credit.diagnosis import Diagnosis, diagnose

__all__ = ["Diagnosis", "diagnose"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Import what is asked for: torch takes seconds."""
    if name not in __all__:
        raise AttributeError(f"module 'credit' has no attribute {name!r}")
    from credit import diagnosis

    return getattr(diagnosis, name)
