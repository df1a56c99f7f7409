"""A site of the sandbox: answers a call from what the world has published by its present day."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl

import pandas as pd

from pas_dagster.sandbox.world import World


@dataclass(frozen=True)
class Present:
    """The world as it stands at an instant: nothing that is known later shows.

    `table` gives the rows known by the day, newest last. A page that shows "now" shows the rows of `today`.
    """

    world: World
    now: datetime

    @cached_property
    def today(self) -> date:
        """The day in New York."""
        from pas_dagster import calendar

        return calendar.today(self.now)

    def table(self, name: str) -> pd.DataFrame:
        frame = self.world.table(name)
        return frame[frame["known_on"] <= pd.Timestamp(self.today)]


@dataclass(frozen=True)
class Call:
    """A request as a site sees it: `path` decoded, header names in lower case, of a repeated field the last one.

    `raw_path` is the path as it was sent, percent-encoded.
    """

    method: str
    host: str
    path: str
    query_string: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    raw_path: str = ""

    @cached_property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(self.query_string, keep_blank_values=True))

    @cached_property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True))

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Answer:
    """What a site sends back."""

    body: bytes
    status: int = 200
    type: str = "text/html; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Site:
    """The hosts a module answers for, and how; None for a path that another module of the host answers.

    `limit` is what the real site permits: (requests, seconds).
    """

    hosts: tuple[str, ...]
    answer: Callable[[Present, Call], Answer | None]
    limit: tuple[int, float] | None = None


def json_answer(value: object, status: int = 200, **headers: str) -> Answer:
    """A JSON body."""
    return Answer(json.dumps(value, default=str).encode(), status, "application/json", headers)
