"""The ledger as frames for people and for the layers above: floats appear here and nowhere below."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import pandas as pd
import sqlalchemy as sa

from pas_dagster.ledger import tables
from pas_dagster.ledger.units import SHARE, USD

INTERNAL = ("deposit", "withdrawal", "transfer", "interest", "fee", "rounding")  # of the account, not of a symbol


def order_batch(connection: sa.Connection, account: str, generation: int, sessions: Sequence[date]) -> pd.DataFrame:
    """One row per net order: decision, client_order_id, symbol, side, quantity (shares), reference_price (USD),
    notional (USD at the reference), state, why."""
    orders, batch = tables.orders, tables.batch
    query = (
        sa.select(
            batch.c.session.label("decision"),
            orders.c.cid.label("client_order_id"),
            orders.c.symbol,
            orders.c.side,
            orders.c.quantity,
            orders.c.price.label("reference_price"),
            orders.c.state,
            orders.c.why,
            orders.c.reason,
        )
        .join(batch, batch.c.id == orders.c.batch)
        .where(*_within(batch, account, generation, sessions))
        .order_by(batch.c.session, orders.c.side.desc(), orders.c.symbol)
    )
    frame = _read(connection, query, sessions)
    frame["quantity"] = frame["quantity"].astype("float64") / SHARE
    frame["reference_price"] = frame["reference_price"].astype("float64") / USD
    frame["notional"] = frame["quantity"] * frame["reference_price"]
    reasons = frame.pop("reason")
    frame["why"] = frame["why"].where(reasons == "", frame["why"] + "; " + reasons)
    return frame[[*frame.columns.drop(["state", "why"]), "state", "why"]]


def fills(connection: sa.Connection, account: str, generation: int, sessions: Sequence[date]) -> pd.DataFrame:
    """One row per execution of an order: decision, execution_id, client_order_id, symbol, side, quantity (shares),
    price, notional, fee (USD), filled_at (UTC, naive; NaT where the broker states no time)."""
    execution, orders, batch = tables.execution, tables.orders, tables.batch
    query = (
        sa.select(
            batch.c.session.label("decision"),
            execution.c.id.label("execution_id"),
            execution.c.cid.label("client_order_id"),
            orders.c.symbol,
            orders.c.side,
            execution.c.quantity,
            execution.c.price,
            execution.c.notional,
            execution.c.fee,
            execution.c.at.label("filled_at"),
        )
        .join(orders, orders.c.cid == execution.c.cid)
        .join(batch, batch.c.id == orders.c.batch)
        .where(*_within(batch, account, generation, sessions))
        .order_by(batch.c.session, execution.c.id)
    )
    frame = _read(connection, query, sessions)
    frame["quantity"] = frame["quantity"].astype("float64") / SHARE
    for column in ("price", "notional", "fee"):
        frame[column] = frame[column].astype("float64") / USD
    frame["filled_at"] = pd.to_datetime(frame["filled_at"], utc=True).dt.tz_localize(None)
    return frame


def trades(connection: sa.Connection, account: str, generation: int, sessions: Sequence[date]) -> pd.DataFrame:
    """One row per sleeve's share of a fill, internal cross or corporate action: decision, execution_id, sleeve,
    symbol, side, quantity (shares, unsigned), price, notional, fee (USD), kind, client_order_id.

    A session without a batch (an action between two decisions) is shown with the day it happened.
    """
    txn = tables.txn
    query = (
        sa.select(
            txn.c.session.label("decision"),
            sa.func.coalesce(sa.func.nullif(txn.c.execution, ""), txn.c.key).label("execution_id"),
            txn.c.sleeve,
            txn.c.symbol,
            txn.c.quantity,
            txn.c.price,
            txn.c.notional,
            txn.c.fee,
            txn.c.kind,
            txn.c.cid.label("client_order_id"),
        )
        .where(*_within(txn, account, generation, sessions), txn.c.kind.not_in(INTERNAL), txn.c.symbol != "")
        .order_by(txn.c.session, txn.c.kind, txn.c.symbol, txn.c.sleeve, txn.c.key)
    )
    frame = _read(connection, query, sessions)
    signed = frame["quantity"].astype("float64") / SHARE
    side = pd.Series("", index=frame.index, dtype="str").mask(signed > 0, "buy").mask(signed < 0, "sell")
    frame.insert(4, "side", side)
    frame["quantity"] = signed.abs()
    for column in ("price", "notional", "fee"):
        frame[column] = frame[column].astype("float64") / USD
    return frame


def account(connection: sa.Connection, account: str, generation: int, sessions: Sequence[date]) -> pd.DataFrame:
    """One row per decision, the last mark of the session (at its closes, once known): decision, equity, cash (USD),
    gross_exposure (fraction of equity), positions (count), turnover (traded / equity), fees, net_flow (USD)."""
    mark, batch = tables.mark, tables.batch
    query = (
        sa.select(
            batch.c.session.label("decision"),
            *(mark.c[name] for name in ("equity", "cash", "gross", "positions", "traded", "fees", "net_flow")),
        )
        .join(batch, batch.c.id == mark.c.batch)
        .where(*_within(batch, account, generation, sessions))
        .order_by(batch.c.session, batch.c.id)
    )
    frame = _read(connection, query, sessions).drop_duplicates("decision", keep="last", ignore_index=True)
    for column in ("equity", "cash", "gross", "traded", "fees", "net_flow"):
        frame[column] = frame[column].astype("float64") / USD
    frame["gross_exposure"] = (frame["gross"] / frame["equity"]).where(frame["equity"] > 0, 0.0)
    frame["turnover"] = (frame["traded"] / frame["equity"]).where(frame["equity"] > 0, 0.0)
    return frame[["decision", "equity", "cash", "gross_exposure", "positions", "turnover", "fees", "net_flow"]]


def _within(
    table: sa.Table, account: str, generation: int, sessions: Sequence[date]
) -> tuple[sa.ColumnElement[bool], ...]:
    first, last = (min(sessions), max(sessions)) if sessions else (date.max, date.min)
    mine = (table.c.account == account, table.c.generation == generation)
    return (*mine, table.c.session >= first, table.c.session <= last)


def _read(connection: sa.Connection, query: sa.Select, sessions: Sequence[date]) -> pd.DataFrame:
    frame = pd.DataFrame(
        list(map(tuple, connection.execute(query))), columns=[column.name for column in query.selected_columns]
    )
    return frame[frame["decision"].isin(set(sessions))].reset_index(drop=True)
