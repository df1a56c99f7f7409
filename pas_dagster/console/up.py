"""`pas up`: the Dagster UI and daemon on this home's data."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import FrameType

from rich.console import Console

from pas_dagster import postgres, settings
from pas_dagster.automation.session import environment, with_sandbox
from pas_dagster.errors import PasError
from pas_dagster.settings import PROJECT, Settings

HOST = "127.0.0.1"


def run(chosen: Settings, port: int) -> None:
    if _taken(port):
        raise PasError(f"Port {port} of {HOST} is in use. Choose another: pas up --port {port + 1}")
    if not settings.read_home(chosen.home):
        Console().print(f"There is no data in {chosen.home} yet: `make demo` makes some. Opening Dagster all the same.")
    settings.make_home(chosen)
    with with_sandbox(chosen) as served, postgres.running(served) as url:
        variables = {**os.environ, **environment(served, url), "PYTHONWARNINGS": "ignore"}
        command = [
            Path(sys.executable).parent / "dagster",
            "dev",
            "-w",
            str(PROJECT / "workspace.yaml"),
            "-h",
            HOST,
            "-p",
            str(port),
        ]
        Console().print(f"Dagster UI: http://{HOST}:{port}   (Ctrl-C ends it)", highlight=False)
        process = subprocess.Popen(command, cwd=chosen.dagster_dir, env=variables)
        code = _wait(process)
    if code:
        raise PasError(f"Dagster ended with exit code {code}; the lines above say why")


def _wait(process: subprocess.Popen[bytes]) -> int:
    """Wait for Dagster to end and give its exit code, 0 when we were asked to end it.

    A signal to us is passed on, so that no process outlives the command.
    """
    asked = []

    def pass_on(number: int, _: FrameType | None) -> None:
        asked.append(number)
        if number == signal.SIGTERM:  # a Ctrl-C has reached Dagster through the terminal already
            process.send_signal(signal.SIGINT)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, pass_on)
    code = process.wait()
    return 0 if asked else code


def _taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return True
    return False
