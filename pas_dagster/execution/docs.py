"""The tables of `docs/execution.md`, made from the code: `python -m pas_dagster.execution.docs` prints them."""

from __future__ import annotations

import re
from dataclasses import fields

from pas_dagster.execution.gates import Gates
from pas_dagster.settings import Settings

SETTINGS = (
    "broker",
    "broker_mode",
    "broker_url",
    "broker_data_url",
    "allow_live",
    "broker_patience",
    "requests_per_minute",
    "gates",
    "ibkr_account",
    "ibkr_client_id",
    "min_order_usd",
    "drift_band",
    "drift_band_relative",
    "drift_band_usd",
    "fractional",
    "clock_hours_back",
)
UNITS = {
    "order_usd": "USD",
    "batch_usd": "USD",
    "day_usd": "USD",
    "batch_orders": "orders",
    "quote_seconds": "seconds",
    "skew_seconds": "seconds",
    "closing_minutes": "minutes",
}


def gates_table() -> str:
    """Every limit of the gates with its default, as Markdown."""
    meanings = dict(re.findall(r"^ {8}(\w+): (.+)\.$", str(Gates.__doc__), re.MULTILINE))
    rows = ["| limit | default | what it is |", "|---|---|---|"]
    rows += [f"| `{one.name}` | {_default(one.name, one.default)} | {meanings[one.name]} |" for one in fields(Gates)]
    return "\n".join(rows)


def settings_table() -> str:
    """The settings that execution has, as Markdown."""
    rows = ["| setting | default | what it is |", "|---|---|---|"]
    for name in SETTINGS:
        field = Settings.model_fields[name]
        default = "none" if field.default is None else f"`{field.default}`"
        rows.append(f"| `{name}` | {default} | {field.description} |")
    return "\n".join(rows)


def _default(name: str, value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    number = f"{value:,}" if isinstance(value, int) else f"{value:g}"
    return f"{number} {UNITS.get(name, '')}".strip()


if __name__ == "__main__":
    print(gates_table(), settings_table(), sep="\n\n")
