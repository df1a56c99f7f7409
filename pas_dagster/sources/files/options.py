"""What a user may say about a file beside its columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date
from typing import Any, get_type_hints

from pas_dagster.errors import PasError


@dataclass(frozen=True)
class Options:
    """Options of an import. As text: `key=value`, days as 2026-08-03, `exclude` as symbols parted by commas."""

    exclude: frozenset[str] = frozenset()  # symbols to leave out
    kind: str | None = None  # prices: `stock` or `etf`; also states since when they are listed
    tenor: str | None = None  # treasury_rates: what the one column of values is, such as 3m
    index_name: str | None = None  # universe: name of the list, when the layout's own is not wanted
    part: str | None = None  # universe flags: only securities of this price file, by the column `file`
    known_on: date | None = None  # universe snapshot: the day it was taken
    through: date | None = None  # last day about which the file tells everything
    adjusted: bool = False  # prices: the closes are adjusted for splits and dividends
    max_return: float = 1.0  # prices: a larger move in one day is not believed
    max_bad: float = 0.02  # share of bad rows that is tolerated
    layout: str | None = None  # name of the layout, when the file fits several

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> Options:
        """Options from text, as on a command line or in a manifest; raises `PasError` naming the wrong one."""
        types = get_type_hints(cls)
        values = {}
        for key, value in given.items():
            if key not in types:
                raise PasError(f"There is no import option {key!r}. There are: {', '.join(types)}.")
            try:
                values[key] = _value(types[key], value)
            except ValueError:
                raise PasError(f"Import option {key}={value} is not a {_spell(types[key])}.") from None
        if values.get("kind") not in (None, "stock", "etf"):
            raise PasError(f"Import option kind={values['kind']} must be stock or etf.")
        return cls(**values)

    def write(self) -> dict[str, Any]:
        """The options that differ from their defaults, as JSON takes them; `read` gives them back."""
        given = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}
        return {key: _plain(value) for key, value in given.items()}


def _value(kind: Any, value: Any) -> Any:
    if not isinstance(value, str):
        return frozenset(value) if kind == frozenset[str] else value
    if kind == frozenset[str]:
        return frozenset(part.strip().upper() for part in value.split(",") if part.strip())
    if kind is bool:
        return {"true": True, "false": False}.get(value.lower()) is True or _false(value)
    if kind is float:
        return float(value)
    return date.fromisoformat(value) if kind == date | None else value


def _false(value: str) -> bool:
    if value.lower() != "false":
        raise ValueError(value)
    return False


def _spell(kind: Any) -> str:
    return {bool: "truth value (true or false)", float: "number"}.get(kind, "day such as 2026-08-03")


def _plain(value: Any) -> Any:
    if isinstance(value, frozenset):
        return sorted(value)
    return value.isoformat() if isinstance(value, date) else value
