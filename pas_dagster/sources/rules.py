"""Rules that pages keep: the error for one that breaks a rule, and the commonest rule of all."""

from __future__ import annotations

import json
from typing import Any

from pas_dagster.sources.page import Page
from pas_dagster.sources.source import LayoutError


def broken(page: Page, rule: str) -> LayoutError:
    """The error to raise, about this page."""
    error = LayoutError(rule)
    error.page = page
    return error


def json_of(page: Page, kind: type = object) -> Any:
    """The page as JSON of a kind (list, dict); raises `LayoutError` if it is none."""
    try:
        value = json.loads(page.content)
    except (ValueError, RecursionError):
        raise broken(page, "the answer must be JSON") from None
    if not isinstance(value, kind):
        raise broken(page, f"the answer must be a JSON {'list' if kind is list else 'object'}")
    return value
