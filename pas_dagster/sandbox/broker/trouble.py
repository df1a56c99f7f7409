"""What goes wrong between the broker and its client, before a request takes effect or after."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from enum import Enum
from fnmatch import fnmatch

from pas_dagster.sandbox.faults import happens
from pas_dagster.sandbox.sites.site import Answer, json_answer


class Kind(Enum):
    """What goes wrong. The value is its name on a command line."""

    RESET = "reset"
    STALLED = "stalled"  # no answer until the client gives up
    SLOW = "slow"  # the true answer, late
    DRIPPING = "dripping"  # the true answer, a byte at a time
    TRUNCATED = "truncated"
    ERROR = "500"
    BAD_GATEWAY = "502"  # in HTML
    UNAVAILABLE = "503"
    GATEWAY_TIMEOUT = "504"
    THROTTLED = "429"
    UNAUTHORIZED = "401"
    FORBIDDEN = "403"  # without a code: a wrong key or host
    WRONG_JSON = "wrong-json"
    NOT_JSON = "not-json"
    EMPTY = "empty"
    REDIRECT = "redirect"


SOCKET = frozenset({Kind.RESET, Kind.STALLED, Kind.SLOW, Kind.DRIPPING, Kind.TRUNCATED})
"""Played on the connection; the others are other answers."""

_HTML = "<html><head><title>{0}</title></head><body><center><h1>{0}</h1></center><hr>nginx</body></html>"


@dataclass
class Trouble:
    """One fault at the requests that match, after `skip` that get through; `times` as often (None: until cleared).

    `after`: the request has had its effect, only its answer is lost.
    """

    kind: Kind
    method: str = "*"
    path: str = "*"
    after: bool = False
    times: int | None = 1
    skip: int = 0
    retry_after: int | None = 1

    def strikes(self, method: str, path: str) -> bool:
        """Whether it happens to this request; counts down when it does."""
        return fnmatch(method, self.method) and fnmatch(path, self.path) and happens(self)

    def answer(self, true: Answer) -> Answer:
        """What is sent instead of the true answer."""
        return _instead(self, true)


def parse(text: str) -> Trouble:
    """`[METHOD ]PATH=KIND[+after][*TIMES]`, with `*` in the path for anything. `ValueError` for anything else.

    >>> parse("POST /v2/orders=504+after*2")  # doctest: +ELLIPSIS
    Trouble(kind=<Kind.GATEWAY_TIMEOUT: '504'>, method='POST', path='/v2/orders', after=True, times=2, ...)
    """
    place, _, what = text.rpartition("=")
    what, _, times = what.partition("*")
    name, plus, after = what.partition("+")
    method, _, path = place.rpartition(" ")
    if not path or (plus and after != "after"):
        raise ValueError(f"{text!r} names no path, or says something else than +after")
    return Trouble(Kind(name), method or "*", path, after=bool(plus), times=int(times) if times else None)


def _html(status: int, title: str) -> Answer:
    return Answer(_HTML.format(title).encode(), status, "text/html")


def _instead(trouble: Trouble, true: Answer) -> Answer:
    match trouble.kind:
        case Kind.ERROR:
            return json_answer({"code": 50010000, "message": "internal server error occurred"}, 500)
        case Kind.BAD_GATEWAY:
            return _html(502, "502 Bad Gateway")
        case Kind.UNAVAILABLE:
            return _html(503, "503 Service Temporarily Unavailable")
        case Kind.GATEWAY_TIMEOUT:
            return _html(504, "504 Gateway Time-out")
        case Kind.THROTTLED:
            wait = {} if trouble.retry_after is None else {"Retry-After": str(trouble.retry_after)}
            return json_answer({"code": 42910000, "message": "too many requests."}, 429, **wait)
        case Kind.UNAUTHORIZED:
            return json_answer({"code": 40110000, "message": "request is not authorized"}, 401)
        case Kind.FORBIDDEN:
            return json_answer({"message": "forbidden."}, 403)
        case Kind.WRONG_JSON:
            return replace(true, status=200, body=json.dumps({"data": [{"x": [1, None]}]}).encode())
        case Kind.NOT_JSON:
            return replace(true, status=200, body=b"OK, thank you")
        case Kind.EMPTY:
            return replace(true, status=200, body=b"")
        case Kind.REDIRECT:
            return replace(true, status=302, headers={"Location": "http://127.0.0.1:9/"})
    return true
