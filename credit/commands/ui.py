"""Show the tracking store in the browser: print the link, and serve it until Ctrl-C."""

import os
import socket
import sys

from credit.commands.base import command, option
from credit.errors import CreditError

PORT = option("port", "5000", "port of the server on this machine", int)


@command("ui", PORT, doc=__doc__)
def COMMAND(port: str) -> None:
    from credit.tracking import store, views  # here: --help needs no MLflow
    from credit.values import parse_value

    number = parse_value("port", int, port)
    opened = store.open_store()
    link = views.front_page(opened)
    if store.is_http(opened.uri):  # its server is up
        print(f"\n  {link}\n")
        return
    _refuse_taken(number)
    link = link.replace("127.0.0.1:5000", f"127.0.0.1:{number}")
    print(f"\n  {link}\n", flush=True)
    print("  Ctrl-C ends the server.\n", flush=True)
    os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
    words = ["--backend-store-uri", opened.uri, "--host", "127.0.0.1", "--port", str(number)]
    os.execv(sys.executable, [sys.executable, "-m", "mlflow", "ui", *words, "--workers", "1"])


def _refuse_taken(port: int) -> None:
    """Refuse a port on which no server can listen: MLflow would say so after the link."""
    if not 1 <= port <= 65535:
        raise CreditError(f"port={port} is no port: pass 1 to 65535")
    with socket.socket() as own:
        own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            own.bind(("127.0.0.1", port))
        except OSError as error:
            raise CreditError(
                f"port={port} cannot be served ({error.strerror}): pass another --port"
            ) from error
