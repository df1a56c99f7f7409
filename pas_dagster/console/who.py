"""Who is at the terminal."""

from __future__ import annotations

import getpass


def user() -> str:
    """The name of the user; `unknown` on a machine that knows none."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"
