"""Show the tracking store in the browser: print the link, and serve it until Ctrl-C."""

import os
import sys

from credit.commands.base import command, option

PORT = option("port", "5000", "port of the server on this machine", int)


@command("ui", PORT, doc=__doc__)
def COMMAND(port: str) -> None:
    from credit.tracking import store, views  # here: --help needs no MLflow

    opened = store.open_store()
    link = views.front_page(opened).replace("127.0.0.1:5000", f"127.0.0.1:{port}")
    print(f"\n  {link}\n", flush=True)
    if store.is_http(opened.uri):
        return
    print("  Ctrl-C ends the server.\n", flush=True)
    os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
    words = ["--backend-store-uri", opened.uri, "--host", "127.0.0.1", "--port", port]
    os.execv(sys.executable, [sys.executable, "-m", "mlflow", "ui", *words, "--workers", "1"])
