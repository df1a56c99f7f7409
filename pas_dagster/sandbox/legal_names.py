"""Legal persons of the sandbox: how companies are named on federal forms, and who else is named there."""

from __future__ import annotations

import re

import numpy as np

from pas_dagster.sandbox.listing import INITIAL, Listing, companies
from pas_dagster.sandbox.streams import Ints

_FORMS = (", INC.", " CORPORATION", " INC", " CORP", " COMPANY", ", INC", " CO.", " INCORPORATED")
_CLASS = re.compile(r" Class [AB]$")

ASSOCIATIONS = tuple(
    f"{kind} OF {trade}"
    for kind in ("NATIONAL ASSOCIATION", "AMERICAN COUNCIL", "COALITION")
    for trade in ("HARBOR PILOTS", "SEED GROWERS", "NIGHT CARRIERS", "GLASS MAKERS", "RURAL CLINICS", "TUNNEL BUILDERS")
)
"""Clients that nobody lists."""

CONTRACTORS = tuple(
    f"{name} {business} {form}"
    for name, form in (("MERRIDEW", "LLC"), ("OAKHANGER", "INC."), ("PELL RIVER", "JOINT VENTURE"), ("QUILLON", "L.P"))
    for business in ("CONSTRUCTION", "FEDERAL SERVICES", "NATIONAL LABORATORY", "SUPPORT SOLUTIONS", "SHIPYARDS")
)
"""Recipients that nobody lists."""

FIRMS = tuple(
    f"{name} {practice}"
    for name in ("ARDMORE & VANE", "BELLWETHER", "CAPSTAN STREET", "DRUMMOND FINCH", "EASTGATE", "FALLOWFIELD & PYE")
    for practice in ("GOVERNMENT RELATIONS LLC", "STRATEGIES, LLC", "LLP")
)
"""Lobbying firms."""


def steady(listing: Listing) -> Ints:
    """Companies that are listed all the time under one symbol."""
    return np.setdiff1d(np.arange(INITIAL), listing.eventful)


def legal_name(company: int, variant: int = 0) -> str:
    """A company's name in capitals with a legal form; some are written in two ways.

    >>> legal_name(0), legal_name(0, 1)
    ('ALDRANE SOFTWARE, INC.', 'THE ALDRANE SOFTWARE CORPORATION')
    """
    name = _CLASS.sub("", companies()[company].name).upper()
    full = name + _FORMS[(company + variant) % len(_FORMS)]
    return f"THE {full}" if (company + variant) % 5 == 1 else full
