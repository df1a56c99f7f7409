"""Columns that many tables share."""

from __future__ import annotations

from pas_dagster.schemas.table import SYMBOL_PATTERN, Column, Kind

KNOWN_ON = Column("known_on", Kind.DATE, "Day on which the fact became known; the partition", "New York day")
KNOWN_AT = Column(
    "known_at", Kind.INSTANT, "Instant it became known, where the source states one", "UTC", nullable=True
)
EVENT_DATE = Column("event_date", Kind.DATE, "Day on which it happened", "New York day")
SYMBOL = Column("symbol", Kind.TEXT, "Symbol, class after a dot", rule={"pattern": SYMBOL_PATTERN})
TICKER = Column("symbol", Kind.TEXT, "Symbol, class after a dot; null when unlisted", nullable=True)
DECISION = Column("decision", Kind.DATE, "Day decided for; the partition", "New York day")
PROVIDER = Column("provider", Kind.TEXT, "Which provider served the row")
RAW = Column("raw", Kind.TEXT, "Digest of the bytes it was parsed from", "sha256", nullable=True)
SLEEVE = Column("sleeve", Kind.TEXT, "Strategy whose share of the account it is")


def text(name: str, doc: str, *, nullable: bool = False, among: tuple[str, ...] = ()) -> Column:
    return Column(name, Kind.TEXT, doc, nullable=nullable, rule={"among": among} if among else {})


def number(name: str, doc: str, unit: str, *, nullable: bool = False, **rule: float) -> Column:
    return Column(name, Kind.FLOAT, doc, unit, nullable, rule)


def count(name: str, doc: str, unit: str = "", **rule: float) -> Column:
    return Column(name, Kind.INT, doc, unit, rule=rule)


def day(name: str, doc: str, *, nullable: bool = False) -> Column:
    return Column(name, Kind.DATE, doc, "New York day", nullable)


def flag(name: str, doc: str) -> Column:
    return Column(name, Kind.BOOL, doc)
