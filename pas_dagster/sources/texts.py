"""Texts as JSON brings them: perhaps no text at all, perhaps with half a character."""

from __future__ import annotations

import math


def text(value: object) -> str | None:
    """The text without blanks around it; None for one that is empty, and for what is no text.

    Raises `ValueError` for a text that no encoding can store: JSON can escape one half of a surrogate pair.
    """
    if not isinstance(value, str):
        return None
    value.encode()
    return value.strip() or None


def required(value: object, name: str) -> str:
    """The same, but raises `ValueError` when there is none; `name` says of what."""
    found = text(value)
    if found is None:
        raise ValueError(f"{name} is missing")
    return found


def figure(value: object, name: str) -> float:
    """A number, or the text of one; `ValueError` for anything else. `name` says of what."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError(f"{name} {value!r} is not a number")
    try:
        found = float(value)
    except (ValueError, OverflowError):
        raise ValueError(f"{name} {value!r} is not a number") from None
    if not math.isfinite(found):
        raise ValueError(f"{name} {value!r} is not a number")
    return found
