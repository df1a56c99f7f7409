"""How messages lie on TWS's socket: four bytes of length, then fields of text, each with a zero byte behind it.

The client begins with `API` and a zero byte, then a frame with the versions it can speak (`v157..178`); the server
chooses one and answers with it and its time. Public reference: https://ibkrcampus.com/campus/ibkr-api-page/twsapi-doc/.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

GREETING = b"API\0"
LONGEST = 1 << 20
"""Bytes of a frame; a longer one is no message of this protocol."""

_LENGTH = struct.Struct(">I")


class FrameError(Exception):
    """What came is not this protocol; the connection is of no further use."""


def pack(fields: Sequence[str]) -> bytes:
    """One message.

    >>> pack(["61", "1"])
    b'\\x00\\x00\\x00\\x0561\\x001\\x00'
    """
    body = "".join(field + "\0" for field in fields).encode()
    return _LENGTH.pack(len(body)) + body


class Frames:
    """Bytes as they arrive, in; whole messages, out."""

    def __init__(self) -> None:
        self._bytes = b""
        self._greeted = False

    def feed(self, arrived: bytes) -> Iterator[list[str]]:
        """The messages that are complete now. Raises `FrameError` for anything that is none."""
        self._bytes += arrived
        if not self._greeted:
            if len(self._bytes) < len(GREETING):
                return
            if not self._bytes.startswith(GREETING):
                raise FrameError("the client does not begin as one of this protocol does")
            self._bytes, self._greeted = self._bytes[len(GREETING) :], True
        while (body := self._next()) is not None:
            yield body.decode(errors="backslashreplace").split("\0")[: body.count(b"\0") or 1]

    def _next(self) -> bytes | None:
        if len(self._bytes) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack(self._bytes[: _LENGTH.size])
        if length > LONGEST:
            raise FrameError(f"a frame of {length} bytes is longer than any message")
        end = _LENGTH.size + length
        if len(self._bytes) < end:
            return None
        body, self._bytes = self._bytes[_LENGTH.size : end], self._bytes[end:]
        return body
