"""What a command needs of the home before it begins."""

from __future__ import annotations

from pas_dagster.errors import PasError
from pas_dagster.settings import Settings, read_home


def require_data(chosen: Settings) -> None:
    """Raise `PasError`, which says how to get some, when the home holds no data yet."""
    if not read_home(chosen.home):
        raise PasError(
            f"There is no data in {chosen.home} yet. Try `pas demo`, or bring in real data: docs/real-data.md"
        )
