"""What the layers above get back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import pandas as pd
import sqlalchemy as sa

from pas_dagster.ledger import frames
from pas_dagster.ledger.store import Ledger


@dataclass(frozen=True)
class Outcome:
    """Rows of the decisions asked for, and of every later one when the past was restated (columns: `ledger.frames`).

    generation: of the account, as the rows show it. restated_from: first session that now reads differently.
    """

    order_batch: pd.DataFrame
    fills: pd.DataFrame
    trades: pd.DataFrame
    account: pd.DataFrame
    generation: int
    restated_from: date | None


def load(
    ledger: Ledger, account: str, generation: int, sessions: Sequence[date], restated_from: date | None = None
) -> Outcome:
    """Read the rows of the sessions from the ledger."""

    def work(connection: sa.Connection) -> Outcome:
        return Outcome(
            frames.order_batch(connection, account, generation, sessions),
            frames.fills(connection, account, generation, sessions),
            frames.trades(connection, account, generation, sessions),
            frames.account(connection, account, generation, sessions),
            generation,
            restated_from,
        )

    return ledger.run(work)
