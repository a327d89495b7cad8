"""A real tracking server for tests, which can go away and come back."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

from credit.errors import CreditError
from credit.tracking import store

PATIENCE_S = 300
"""For other processes; a busy machine may starve them."""


class Server:
    """`mlflow server` on a fixed port that can be stopped and started again."""

    def __init__(self, folder: Path, backend: str | None = None) -> None:
        self.port = self.free_port()
        self.folder = folder
        self.uri = f"http://127.0.0.1:{self.port}"
        self.sqlite = f"sqlite:///{folder / 'server.db'}"
        self.backend = backend or self.sqlite

    @staticmethod
    def free_port() -> int:
        """A port that nobody listens on now."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            return free.getsockname()[1]

    def start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--port", str(self.port)]
        command += ["--backend-store-uri", self.backend, "--workers", "1"]
        command += ["--artifacts-destination", str(self.folder / "artifacts")]
        env = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "_MLFLOW_"))}
        env |= {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=self.folder, env=env, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            try:
                store.reach(self.uri)
            except CreditError:
                time.sleep(0.5)
            else:
                return
        self.stop()
        raise AssertionError((self.folder / "server.log").read_text() or "no answer, no log")

    def stop(self) -> None:
        os.killpg(self.process.pid, 15)
        self.process.wait(PATIENCE_S)
