"""Bad weather for the sandbox: what goes wrong with sites, on purpose, for the hosts and paths that are named.

Faults of the connection are played by the server; faults of the content are made here, by changing what a site would
have said in the same format (HTML, JSON, XML, CSV and other lines, zip of these).
"""

from __future__ import annotations

import gzip
import io
import json
import re
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from fnmatch import fnmatch
from functools import cache
from typing import Any, Protocol

from pas_dagster.sandbox.sites.site import Answer


class Fault(Enum):
    """What goes wrong. The value is the name on the command line."""

    THROTTLED = "429"  # with Retry-After: 1
    THROTTLED_SILENTLY = "429-silent"  # without
    THROTTLED_LONG = "429-long"  # Retry-After: 3600
    CHALLENGE = "403-challenge"
    SERVER_ERROR = "500"
    UNAVAILABLE = "503"
    SLOW_BODY = "slow-body"
    STALLED = "stalled"
    TRUNCATED = "truncated"
    RESET = "reset"
    EMPTY_TABLE = "empty-table"
    RENAMED = "renamed"
    WRONG_TYPES = "wrong-types"
    DUPLICATED = "duplicated"
    OVERSIZED = "oversized"
    GZIP_BOMB = "gzip-bomb"
    XML_BOMB = "xml-bomb"
    OTHER_HOST = "other-host"
    ERROR_TEXT = "error-text"
    SKEWED_DATES = "skewed-dates"


CONNECTION = frozenset({Fault.SLOW_BODY, Fault.STALLED, Fault.TRUNCATED, Fault.RESET})
"""Played on the socket."""

BOMB_BYTES = 160 << 20
_XML_BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">'
    + b"".join(b'<!ENTITY %c "%s">' % (98 + n, (b"&%c;" % (97 + n)) * 10) for n in range(9))
    + b"]><x>&j;</x>"
)


@dataclass
class Weather:
    """One fault at the hosts and paths that match, after `skip` requests that get through.

    `times` is how often it still happens (None: until cleared).
    """

    fault: Fault
    host: str = "*"
    path: str = "*"
    times: int | None = None
    skip: int = 0

    def strikes(self, host: str, path: str) -> bool:
        """Whether it happens to this request; counts down when it does."""
        return fnmatch(host, self.host) and fnmatch(path, self.path) and happens(self)


class Counted(Protocol):
    """What happens `times` times (None: until cleared), after `skip` that it lets through."""

    times: int | None
    skip: int


def happens(one: Counted) -> bool:
    """Whether it is its turn; counts down."""
    if one.times == 0:
        return False
    if one.skip:
        one.skip -= 1
        return False
    if one.times is not None:
        one.times -= 1
    return True


def parse(text: str) -> Weather:
    """`HOST[/PATH]=FAULT[*TIMES]`, with `*` in host and path for anything.

    >>> parse("www.sec.gov/Archives/*=503*2")
    Weather(fault=<Fault.UNAVAILABLE: '503'>, host='www.sec.gov', path='/Archives/*', times=2, skip=0)
    """
    place, _, what = text.rpartition("=")
    name, _, times = what.partition("*")
    host, slash, path = place.partition("/")
    return Weather(Fault(name), host or "*", slash + path or "*", int(times) if times else None)


def spoil(fault: Fault, answer: Answer) -> Answer:
    """The answer with the fault in it. One that cannot show the fault (no table to empty) comes back as it is."""
    if fault in _REPLACED:
        return _REPLACED[fault](answer)
    if fault in _REWRITTEN and answer.status == 200:
        return replace(answer, body=_rewrite(answer.body, _REWRITTEN[fault]))
    return answer


def _status(status: int, body: bytes, **headers: str) -> Callable[[Answer], Answer]:
    return lambda _: Answer(body, status, "text/html; charset=utf-8", headers)


@cache
def _bomb() -> bytes:
    return gzip.compress(b"\0" * BOMB_BYTES, 9)


def _gzip_bomb(answer: Answer) -> Answer:
    return replace(answer, body=_bomb(), headers={**answer.headers, "Content-Encoding": "gzip"})


_CHALLENGE = (
    b"<!DOCTYPE html><html><head><title>Just a moment...</title></head><body>Checking your browser</body></html>"
)
_REPLACED: Mapping[Fault, Callable[[Answer], Answer]] = {
    Fault.THROTTLED: _status(429, b"Too Many Requests", **{"Retry-After": "1"}),
    Fault.THROTTLED_SILENTLY: _status(429, b"Too Many Requests"),
    Fault.THROTTLED_LONG: _status(429, b"Too Many Requests", **{"Retry-After": "3600"}),
    Fault.CHALLENGE: _status(403, _CHALLENGE, **{"cf-mitigated": "challenge"}),
    Fault.SERVER_ERROR: _status(500, b"Internal Server Error"),
    Fault.UNAVAILABLE: _status(503, b"Service Unavailable"),
    Fault.OTHER_HOST: _status(302, b"", Location="http://169.254.169.254/latest/meta-data/"),
    Fault.ERROR_TEXT: _status(200, b"Too many requests."),
    Fault.XML_BOMB: _status(200, _XML_BOMB),
    Fault.GZIP_BOMB: _gzip_bomb,
    Fault.OVERSIZED: lambda answer: replace(answer, body=answer.body + b" " * BOMB_BYTES),
}


def _rewrite(body: bytes, change: Change) -> bytes:
    """The content in its own format, changed."""
    if body[:2] == b"PK":
        return _rewrite_zip(body, change)
    if body[:4] == b"%PDF":
        return change.text(body.decode("latin-1")).encode("latin-1")
    text = body.decode("utf-8-sig", errors="replace")
    prefix, stripped = _json_prefix(text)
    try:
        value = json.loads(stripped)
    except ValueError:
        return change.text(text).encode()
    return (prefix + json.dumps(change.json(value))).encode()


def _json_prefix(text: str) -> tuple[str, str]:
    """Some sites put a guard before their JSON."""
    found = re.match(r"\)\]\}',?\s*|\s+", text)
    return (found.group(), text[found.end() :]) if found else ("", text)


def _rewrite_zip(body: bytes, change: Change) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(body)) as source, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(name, _rewrite(source.read(name), change))
    return out.getvalue()


@dataclass(frozen=True)
class Change:
    """A fault of the content: how it looks in JSON, and in text of any other kind."""

    json: Callable[[Any], Any]
    text: Callable[[str], str]


def _walk_lists(value: Any, change: Callable[[list], list]) -> Any:
    """The value with every list of rows changed; a list of rows holds objects or lists."""
    if isinstance(value, dict):
        return {key: _walk_lists(item, change) for key, item in value.items()}
    if isinstance(value, list):
        inner = [_walk_lists(item, change) for item in value]
        return change(inner) if inner and isinstance(inner[0], (dict, list)) else inner
    return value


def _walk_leaves(value: Any, change: Callable[[Any], Any]) -> Any:
    if isinstance(value, dict):
        return {key: _walk_leaves(item, change) for key, item in value.items()}
    if isinstance(value, list):
        return [_walk_leaves(item, change) for item in value]
    return change(value)


def _rename_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {f"{key}_v2": _rename_keys(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rename_keys(item) for item in value]
    return value


_ROW = re.compile(r"<tr\b.*?</tr>", re.DOTALL | re.IGNORECASE)
_HEADER_CELL = re.compile(r"(<th\b[^>]*>)", re.IGNORECASE)
_VARIABLE = re.compile(r"\b(let|const|var) (\w+)( = )")
_ARRAY = re.compile(r"(\b(?:let|const|var) \w+ = )\[.*?\];", re.DOTALL)
_ELEMENT = re.compile(r"<(/?)([A-Za-z]\w{3,})")
_NUMBER = re.compile(r"(?<![\w.#/-])\$?\d[\d,]*\.?\d*(?![\w/-])")


def _is_markup(text: str) -> bool:
    return text.lstrip()[:1] == "<" or "<XML>" in text[:20000]


def _empty(text: str) -> str:
    """Head and foot stay; rows go."""
    if _is_markup(text):
        head = _HEADER_CELL.search
        cut = _ROW.sub(lambda row: row.group() if head(row.group()) else "", text)
        cut = _ARRAY.sub(r"\1[];", cut)
        return cut if cut != text else re.sub(r"(<(\w+)>).*(</\2>\s*)$", r"\1\3", text, count=1, flags=re.DOTALL)
    return "".join(line for line in text.splitlines(keepends=True) if not re.search(r"\d", line))


def _rename(text: str) -> str:
    if _is_markup(text):
        renamed = _VARIABLE.sub(r"\1 \2V2\3", text)
        renamed = _HEADER_CELL.sub(r"\1New ", renamed)
        renamed = re.sub(r'\b(id|class)="([^"]+)"', r'\1="\2-v2"', renamed)
        return renamed if renamed != text else _ELEMENT.sub(r"<\1\2V2", text)
    lines = text.splitlines(keepends=True)
    at = next((n for n, line in enumerate(lines) if re.search(r"[A-Za-z]", line)), 0)
    named = [re.sub(r"[A-Za-z]\w*", r"\g<0>V2", line) if n <= at + 12 else line for n, line in enumerate(lines)]
    return "".join(named)


def _mistype(text: str) -> str:
    return _NUMBER.sub("n.a.", text)


def _duplicate(text: str) -> str:
    if _is_markup(text):
        return _ROW.sub(lambda row: row.group() * 2, text)
    lines = text.splitlines(keepends=True)
    return "".join(line * (2 if re.search(r"\d", line) else 1) for line in lines)


_YEAR = re.compile(
    r"\b(20[0-4]\d)(?=-\d\d|(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\b)|(?<=/)(20[0-4]\d)\b|(?<=, )(20[0-4]\d)\b"
)


def _skew(text: str) -> str:
    """Every date four years later: the site's clock is wrong."""
    return _YEAR.sub(lambda year: str(int(year.group()) + 4), text)


def _skew_leaf(value: Any) -> Any:
    if isinstance(value, str):
        return _skew(value)
    if isinstance(value, int) and not isinstance(value, bool) and 10**9 < value < 2 * 10**9:
        return value + 4 * 366 * 86400  # seconds since 1970
    return value


def _mistype_leaf(value: Any) -> Any:
    numeric = isinstance(value, (int, float)) and not isinstance(value, bool)
    text_number = isinstance(value, str) and re.fullmatch(r"-?\$?[\d,]+\.?\d*", value)
    return "n.a." if numeric or text_number else value


_REWRITTEN: Mapping[Fault, Change] = {
    Fault.EMPTY_TABLE: Change(lambda value: _walk_lists(value, lambda rows: []), _empty),
    Fault.RENAMED: Change(_rename_keys, _rename),
    Fault.WRONG_TYPES: Change(lambda value: _walk_leaves(value, _mistype_leaf), _mistype),
    Fault.DUPLICATED: Change(
        lambda value: _walk_lists(value, lambda rows: [r for row in rows for r in (row, row)]), _duplicate
    ),
    Fault.SKEWED_DATES: Change(lambda value: _walk_leaves(value, _skew_leaf), _skew),
}
