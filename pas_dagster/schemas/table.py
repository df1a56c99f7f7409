"""What a table is: its columns with types, units and rules, its key, and the column it is partitioned by.

One description serves four readers: the validation at the border (pandera), the lake's DDL, the column schema
that Dagster shows, and the generated page `docs/tables.md`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    import pandera.pandas as pa

SYMBOL_PATTERN = r"^[A-Z][A-Z0-9]{0,5}(\.[A-Z]{1,2})?\Z"
_SEPARATOR = re.compile(r"^([A-Z][A-Z0-9]{0,5})[-/ ]([A-Z]{1,2})$")


class Kind(Enum):
    """A column type: name in the docs -> (SQL type, pandas dtype)."""

    DATE = ("date", "datetime64[us]")
    INSTANT = ("timestamp", "datetime64[us]")
    TEXT = ("varchar", "str")
    FLOAT = ("double", "float64")
    INT = ("bigint", "int64")
    BOOL = ("boolean", "bool")

    @property
    def sql(self) -> str:
        return self.value[0]

    @property
    def dtype(self) -> str:
        return self.value[1]


@dataclass(frozen=True)
class Column:
    """One column. `rule` names a bound: `min`, `max`, `above` (exclusive), `among` or `pattern`."""

    name: str
    kind: Kind
    doc: str
    unit: str = ""
    nullable: bool = False
    rule: Mapping[str, Any] = field(default_factory=dict)

    @property
    def rule_text(self) -> str:
        """The rule in words, as the user meets it in an error or a quarantined row.

        >>> Column("close", Kind.FLOAT, "Close", rule={"above": 0}).rule_text
        'must be above 0'
        """
        words = {"min": "at least", "max": "at most", "above": "above", "among": "one of", "pattern": "of the form"}
        parts = [f"{words[name]} {_spell(value)}" for name, value in self.rule.items()]
        return ("must be " + " and ".join(parts)) if parts else f"must be a {self.kind.name.lower()}"


def _spell(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, (tuple, list)) else str(value)


@dataclass(frozen=True)
class Verdict:
    """Rows that may enter, and rows that may not with the reason (column `reason`, original index kept)."""

    good: pd.DataFrame
    bad: pd.DataFrame


@dataclass(frozen=True)
class Table:
    """A table of the lake. `partition` names its partition column; `key` is unique within a table."""

    name: str
    doc: str
    columns: Sequence[Column]
    key: Sequence[str]
    partition: str = "known_on"

    @cached_property
    def names(self) -> list[str]:
        return [column.name for column in self.columns]

    def column(self, name: str) -> Column:
        return next(column for column in self.columns if column.name == name)

    def empty(self) -> pd.DataFrame:
        """No rows, right columns and types."""
        return pd.DataFrame({c.name: pd.Series([], dtype=c.kind.dtype) for c in self.columns})

    def conform(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The table's columns in order and with its types; a missing nullable column is filled with nulls.

        Raises `KeyError` naming a missing column, `ValueError` naming one whose values cannot have its type.
        """
        if self._is_conform(frame):
            return frame  # millions of rows are not copied at every border
        result = {}
        for column in self.columns:
            if column.name not in frame:
                if not column.nullable:
                    raise KeyError(f"{self.name} needs the column {column.name!r}")
                result[column.name] = pd.Series(None, index=frame.index, dtype=column.kind.dtype)
                continue
            try:
                result[column.name] = _cast(frame[column.name], column.kind)
            except (ValueError, TypeError) as error:
                raise ValueError(f"{self.name}.{column.name} {column.rule_text}: {error}") from None
        return pd.DataFrame(result, index=frame.index)

    def _is_conform(self, frame: pd.DataFrame) -> bool:
        if frame.columns.tolist() != self.names:
            return False
        if any(frame[column.name].dtype != column.kind.dtype for column in self.columns):
            return False
        days = [frame[column.name] for column in self.columns if column.kind is Kind.DATE]
        return all((day.dt.normalize() == day).where(day.notna(), True).all() for day in days)

    def sort(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Rows in key order within the partition: the one order in which a table is stored."""
        order = [self.partition, *(name for name in self.key if name != self.partition)]
        return frame.sort_values(order, kind="stable", ignore_index=True)

    def check(self, frame: pd.DataFrame) -> Verdict:
        """Split conformed rows by the table's rules: column rules, nulls, and the uniqueness of the key."""
        import pandera.errors

        reasons: dict[Any, str] = {}
        rows = frame.reset_index(drop=True)
        try:
            self._pandera.validate(rows, lazy=True)
        except pandera.errors.SchemaErrors as errors:
            for case in errors.failure_cases.dropna(subset=["index"]).to_dict("records"):
                reasons.setdefault(int(case["index"]), self._reason(case))
        sound = rows[~rows.index.isin(list(reasons))]  # a refused row takes no good one with it
        twice = sound.duplicated(list(self.key), keep="first")
        for at in twice[twice].index:
            reasons.setdefault(int(at), f"duplicate key ({', '.join(self.key)})")
        bad = rows.index.isin(list(reasons))
        rejected = rows[bad].assign(reason=[reasons[at] for at in rows.index[bad]])
        rejected.index = frame.index[bad]
        return Verdict(frame[~bad], rejected)

    def _reason(self, case: Mapping[str, Any]) -> str:
        column = self.column(str(case["column"]))
        if case["check"] == "not_nullable":
            return f"{column.name} is missing"
        if case["check"] == "finite":
            return f"{column.name} {case['failure_case']!r} must be finite"
        return f"{column.name} {case['failure_case']!r} {column.rule_text}"

    @cached_property
    def _pandera(self) -> pa.DataFrameSchema:
        import pandera.pandas as pa

        return pa.DataFrameSchema({c.name: pa.Column(nullable=c.nullable, checks=_checks(c, pa)) for c in self.columns})


def _checks(column: Column, pa: Any) -> list[Any]:
    make = {
        "min": pa.Check.ge,
        "max": pa.Check.le,
        "above": pa.Check.gt,
        "among": lambda values: pa.Check.isin(list(values)),
        "pattern": pa.Check.str_matches,
    }
    checks = [make[name](value) for name, value in column.rule.items()]
    if column.kind is Kind.FLOAT:
        checks.append(pa.Check(lambda values: values.abs() < float("inf"), name="finite"))
    return checks


def _cast(values: pd.Series, kind: Kind) -> pd.Series:
    match kind:
        case Kind.DATE:
            if pd.api.types.is_numeric_dtype(values) and values.notna().any():
                raise ValueError("a number is not a day")  # it would count as nanoseconds since 1970
            return pd.to_datetime(values).dt.tz_localize(None).dt.normalize().astype("datetime64[us]")
        case Kind.INSTANT:
            return pd.to_datetime(values, utc=True).dt.tz_localize(None).astype("datetime64[us]")
        case Kind.INT:
            whole = values.astype("int64")
            if values.dtype == object or pd.api.types.is_float_dtype(values):
                broken = values[whole != values.astype("float64")]
                if len(broken):
                    raise ValueError(f"{broken.iloc[0]} is not a whole number")
            return whole
        case Kind.FLOAT:
            return values.astype("float64")
        case Kind.BOOL:
            if not values.isin([True, False]).all():
                raise ValueError(f"{values[~values.isin([True, False])].iloc[0]!r} is neither true nor false")
            return values.astype("bool")
        case Kind.TEXT:
            return values.astype("str")
    raise AssertionError(kind)


def normalise_symbols(values: pd.Series) -> pd.Series:
    """Symbols in the one spelling used everywhere: upper case, class after a dot (`BRK.B`).

    What is not one symbol stays as it is and fails the pattern later.

    >>> normalise_symbols(pd.Series(["brk-b", "BRK/B", " AAPL ", "RTN  RTX"])).tolist()
    ['BRK.B', 'BRK.B', 'AAPL', 'RTN  RTX']
    """
    text = values.astype("str").str.strip().str.upper()
    return text.str.replace(_SEPARATOR, r"\1.\2", regex=True)
