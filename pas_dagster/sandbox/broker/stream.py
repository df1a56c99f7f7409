"""The broker's stream of order events over a websocket: `trade_updates`, in binary frames as the paper one sends them.

A stream only says that something happened. As the real one it has no memory: what happens while nobody listens is
never told, and it can break or repeat itself.

Protocol: https://docs.alpaca.markets/docs/websocket-streaming.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hmac import compare_digest
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from pas_dagster.sandbox.broker import wire
from pas_dagster.sandbox.broker.server import BrokerSandbox
from pas_dagster.sandbox.loopback import listen

_TICK = 0.02  # seconds between looks at the books


@dataclass
class Temper:
    """What a stream does to its listeners: `breaks_after` so many events, once; `repeats` each event."""

    breaks_after: int | None = None
    repeats: bool = False


@contextmanager
def streaming(sandbox: BrokerSandbox, temper: Temper | None = None, port: int = 0) -> Generator[str]:
    """Stream on loopback while the block runs; yields the address. `TradingStream(..., url_override=address)`."""
    chosen = temper or Temper()

    def handle(connection: ServerConnection) -> None:
        with suppress(ConnectionClosed, TimeoutError):
            _converse(connection, sandbox, chosen)

    with serve(handle, sock=listen(port), ping_interval=None, close_timeout=1) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}/stream"
        finally:
            server.shutdown()
            thread.join(5)


def _converse(connection: ServerConnection, sandbox: BrokerSandbox, temper: Temper) -> None:
    if not _is_known(_heard(connection), sandbox):
        _say(connection, {"stream": "authorization", "data": {"status": "unauthorized", "action": "authenticate"}})
        return
    _say(connection, {"stream": "authorization", "data": {"status": "authorized", "action": "authenticate"}})
    wanted = _heard(connection).get("data", {}).get("streams", [])
    with sandbox.account.lock:
        told = len(sandbox.account.events)
    _say(connection, {"stream": "listening", "data": {"streams": wanted}})
    while "trade_updates" in wanted:
        for update in _news(sandbox, told):
            told += 1
            for _ in range(1 + temper.repeats):
                _say(connection, update)
            if temper.breaks_after is not None:
                temper.breaks_after -= 1
                if temper.breaks_after <= 0:
                    temper.breaks_after = None
                    connection.socket.close()
                    return
        with suppress(TimeoutError):
            connection.recv(timeout=_TICK)


def _news(sandbox: BrokerSandbox, told: int) -> list[dict[str, object]]:
    book = sandbox.account
    with book.lock:
        book.advance()
        return [wire.update(book, *event) for event in book.events[told:]]


def _is_known(said: dict[str, Any], sandbox: BrokerSandbox) -> bool:
    data = said.get("data")
    given = data if isinstance(data, dict) else said
    pairs = ((given.get("key_id"), sandbox.key), (given.get("secret_key"), sandbox.secret))
    return all(isinstance(a, str) and compare_digest(a.encode(), b.encode()) for a, b in pairs)


def _heard(connection: ServerConnection) -> dict[str, Any]:
    try:
        said = json.loads(connection.recv(timeout=10))
    except ValueError:
        said = None
    return said if isinstance(said, dict) else {}


def _say(connection: ServerConnection, message: dict[str, object]) -> None:
    connection.send(json.dumps(message).encode())
