"""`credit ui` as a user calls it: a link that opens, on this machine only, until Ctrl-C."""

import os
import signal
import socket
import subprocess
import sys
import time

import psutil
import pytest
import requests

from credit.commands import find
from credit.errors import CreditError
from tests.server import Server


def test_a_port_that_is_taken_is_refused(tracking_store):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(CreditError):
            find("ui").main(["--port", str(taken.getsockname()[1])], standalone_mode=False)


@pytest.mark.slow
def test_the_store_is_served_until_ctrl_c(tracking_store, tmp_path):
    port = Server.free_port()
    command = [sys.executable, "-m", "credit", "ui", "--port", str(port)]
    server = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert server.stdout
        printed = [server.stdout.readline() for _ in range(2)]
        link = next(line.strip() for line in printed if "http" in line)
        assert f"127.0.0.1:{port}/#/experiments/" in link
        for _ in range(300):
            try:
                status = requests.get(link, timeout=5).status_code
                break
            except requests.ConnectionError:
                time.sleep(0.2)
        assert status == 200
        heard = [
            c.laddr.ip
            for c in psutil.net_connections("tcp")
            if c.status == "LISTEN" and c.laddr.port == port
        ]
        assert set(heard) == {"127.0.0.1"}
    finally:
        os.killpg(server.pid, signal.SIGINT)
        server.wait(60)
