"""Catalysts of drug makers from both public registers: expected completions of trials, and approvals.

No public register tells on which day the FDA will decide; a calendar of one's own comes by
`pas import catalyst_events`.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from pas_dagster.sources import clinical_trials, openfda
from pas_dagster.sources.page import Page
from pas_dagster.sources.source import Query, Reading, Source, Walk


def walk(query: Query) -> Walk:
    """First the trials, then the approvals."""
    yield from clinical_trials.walk(query)
    yield from openfda.walk(query)


def read(pages: Sequence[Page], query: Query) -> Reading:
    """Rows of catalyst_events."""
    readings = [clinical_trials.read(pages, query), openfda.read(pages, query)]
    rows = [reading.rows for reading in readings if len(reading.rows)]
    bad = [reading.bad for reading in readings if len(reading.bad)] or [readings[0].bad]
    return Reading(pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(), pd.concat(bad, ignore_index=True))


SOURCES = (
    Source(
        name="catalysts",
        dataset="catalyst_events",
        title="ClinicalTrials.gov and openFDA",
        hosts=(clinical_trials.HOST, openfda.HOST),
        read=read,
        walk=walk,
        since=clinical_trials.SOURCES[0].since,
        note=f"{clinical_trials.SOURCES[0].note} {openfda.SOURCES[0].note} Days on which the FDA will decide are in "
        "neither: import a calendar.",
    ),
)
