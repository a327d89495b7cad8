"""credit: the audit bench for credit assignment."""

import os

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read when mlflow is imported

__version__ = "0.1.0"
