"""Both chambers of Congress: the House Clerk and the Senate's eFD side by side, one source of politicians' trades."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import pandas as pd

from pas_dagster.sources import house, senate
from pas_dagster.sources.disclosures import LEGISLATORS_HOST
from pas_dagster.sources.page import Page, Request
from pas_dagster.sources.source import Query, Reading, Source, Walk


def walk(query: Query) -> Walk:
    """The walks of both chambers; what both ask for is asked for once."""
    return side_by_side(house.walk(query), senate.walk(query))


def side_by_side(*walks: Walk) -> Walk:
    """Several walks as one: a round asks what each of those still going asks, the same question only once."""
    going = [(one, asked) for one in walks if (asked := next(one, None)) is not None]
    while going:
        round_ = {_question(request): request for _, asked in going for request in asked}
        pages = dict(zip(round_, (yield list(round_.values())), strict=True))
        going = [
            (one, then)
            for one, asked in going
            if (then := _sent(one, [pages[_question(request)] for request in asked])) is not None
        ]


def _question(request: Request) -> Hashable:
    """What makes two requests the same: all but a POST, which is only the same as itself."""
    return (request.url, request.kind) if request.method == "GET" else id(request)


def _sent(walk: Walk, pages: Sequence[Page]) -> Sequence[Request] | None:
    try:
        return walk.send(pages)
    except StopIteration:
        return None


def read(pages: Sequence[Page], query: Query) -> Reading:
    """Rows of politician_trades of both chambers."""
    readings = [house.read(pages, query), senate.read(pages, query)]
    rows, bad = ([getattr(one, part) for one in readings if len(getattr(one, part))] for part in ("rows", "bad"))
    return Reading(
        pd.concat(rows, ignore_index=True) if rows else readings[0].rows,
        pd.concat(bad, ignore_index=True) if bad else readings[0].bad,
    )


SOURCES = (
    Source(
        name="congress",
        dataset="politician_trades",
        title="House Clerk and Senate eFD, periodic transaction reports",
        hosts=(house.HOST, senate.HOST, LEGISLATORS_HOST),
        walk=walk,
        read=read,
        since=house.SINCE,
        note=" ".join(one.note for one in (*house.SOURCES, *senate.SOURCES)),
    ),
)
