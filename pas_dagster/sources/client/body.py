"""Reading an answer's body without trusting it: bounded in bytes (also unpacked), in time, and complete."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator

_CHUNK = 1 << 16


class BodyError(Exception):
    """The body is not what was announced; the message says how. `final` when asking again would not help."""

    def __init__(self, message: str, *, final: bool = False) -> None:
        super().__init__(message)
        self.final = final


def read_body(
    chunks: Iterable[bytes], encoding: str, max_bytes: int, deadline: float, monotonic: Callable[[], float]
) -> bytes:
    """The unpacked body. `encoding` is that of Content-Encoding: gzip, deflate or none.

    Raises `BodyError` when it is larger than `max_bytes` unpacked, cut short, damaged, or not complete by `deadline`.
    """
    content = bytearray()
    for part in _unpacked(chunks, encoding, max_bytes):
        content += part
        if len(content) > max_bytes:
            raise BodyError(f"the answer is larger than {max_bytes:,} bytes", final=True)
        if monotonic() > deadline:
            raise BodyError("the answer did not end in the time allowed")
    return bytes(content)


def _unpacked(chunks: Iterable[bytes], encoding: str, max_bytes: int) -> Iterator[bytes]:
    kind = encoding.strip().lower()
    if kind in ("", "identity"):
        yield from chunks
    elif kind in ("gzip", "x-gzip", "deflate"):
        yield from _inflated(chunks, zlib.decompressobj(47 if "gzip" in kind else 15), max_bytes)
    else:
        raise BodyError(f"the answer is packed as {encoding!r}, which was not asked for", final=True)


def _inflated(chunks: Iterable[bytes], unpacker: zlib._Decompress, max_bytes: int) -> Iterator[bytes]:
    """A bomb never unfolds: each step unpacks at most as much as may still come. Nothing at all is no bytes."""
    empty = True
    try:
        for chunk in chunks:
            empty = False
            pending = chunk
            while pending and not unpacker.eof:
                yield unpacker.decompress(pending, min(_CHUNK, max_bytes + 1))
                pending = unpacker.unconsumed_tail
            if pending or unpacker.unused_data:
                raise BodyError("the packed answer goes on after its end", final=True)
        yield unpacker.flush()
    except zlib.error as error:
        raise BodyError(f"the packed answer is damaged ({error})") from None
    if not unpacker.eof and not empty:
        raise BodyError("the packed answer is cut short")
