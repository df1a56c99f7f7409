"""HTTP on this machine, for the servers of the sandbox: quiet, quick, and able to break off like the real ones."""

from __future__ import annotations

import io
import socket
import struct
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from pas_dagster.errors import PasError

STALL = 30.0  # seconds a stalled connection is held before the server lets go of it
DRIP = 0.05  # seconds between the bytes of a slow body
_MOST_BODY = 1 << 20


class Handler(BaseHTTPRequestHandler):
    """HTTP/1.1 with connections kept, answers in one packet where they fit. A subclass says what `reply` is."""

    protocol_version = "HTTP/1.1"
    server_version = "sandbox"
    sys_version = ""
    wbufsize = -1
    disable_nagle_algorithm = True
    timeout = 60

    def reply(self) -> None:
        """Answer the request."""
        raise NotImplementedError

    def do_GET(self) -> None:
        self.reply()

    def do_POST(self) -> None:
        self.reply()

    def log_message(self, format: str, *args: Any) -> None:
        """Be silent: progress is the client's affair."""

    def received(self) -> tuple[dict[str, str], bytes]:
        """The request's headers, their names in small letters, and its body."""
        headers = {name.lower(): value for name, value in self.headers.items()}
        length = min(int(headers.get("content-length") or 0), _MOST_BODY)
        return headers, self.rfile.read(length) if length else b""

    def cut_off(self, body: bytes) -> None:
        """Send half of a body."""
        self.wfile.write(body[: len(body) // 2])
        self.close_connection = True

    def drip(self, body: bytes, stopping: threading.Event) -> None:
        """Send a body a byte at a time."""
        for at in range(len(body)):
            self.wfile.write(body[at : at + 1])
            self.wfile.flush()
            if stopping.wait(DRIP):
                break

    def reset(self) -> None:
        """Close with a TCP reset."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()
        self.wfile = io.BytesIO()  # the stream of a connection that is gone


class Server(ThreadingHTTPServer):
    """One thread a connection, none of which keeps the process alive."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no news; anything else is a fault of the sandbox and is shown."""
        if not isinstance(sys.exception(), (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)


def listen(port: int) -> socket.socket:
    """A listening socket on loopback; port 0 takes a free one. Raises `PasError` when the port cannot be used."""
    try:
        return socket.create_server(("127.0.0.1", port), backlog=Server.request_queue_size)
    except OSError as error:
        raise PasError(f"Port {port} of this machine cannot be used ({error.strerror}). Choose another.") from None


@contextmanager
def running(handler: type[Handler], listener: socket.socket, stopping: threading.Event) -> Generator[None]:
    """Serve on a socket that listens already, while the block runs; `stopping` is set at its end."""
    server = Server(listener.getsockname(), handler, bind_and_activate=False)
    server.socket.close()
    server.socket = listener
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        server.shutdown()
        server.server_close()
        thread.join(5)
