"""`pas up`: the Dagster UI and daemon on this home's data."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

from rich.console import Console

from pas_dagster import postgres, settings
from pas_dagster.automation.session import environment
from pas_dagster.errors import PasError
from pas_dagster.settings import PROJECT, Settings

HOST = "127.0.0.1"


def run(chosen: Settings, port: int) -> None:
    if _taken(port):
        raise PasError(f"Port {port} of {HOST} is in use. Choose another: pas up --port {port + 1}")
    settings.make_home(chosen)
    with postgres.running(chosen) as url:
        variables = {**os.environ, **environment(chosen, url), "PYTHONWARNINGS": "ignore"}
        command = [Path(sys.executable).parent / "dagster", "dev", "-w", "workspace.yaml", "-h", HOST, "-p", str(port)]
        Console().print(f"Dagster UI: http://{HOST}:{port}   (Ctrl-C ends it)", highlight=False)
        process = subprocess.Popen(command, cwd=PROJECT, env=variables)
        try:
            code = process.wait()
        except KeyboardInterrupt:
            code = process.wait()  # the terminal sent it the same signal
    if code not in (0, 130, -2):
        raise PasError(f"Dagster ended with exit code {code}; the lines above say why")


def _taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return True
    return False
