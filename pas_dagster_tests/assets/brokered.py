"""A process of its own: definitions are built once a process. An account at the sandbox broker, through Dagster.

Prints one JSON object: what each run did at the broker, and what was stored after it.
"""

from __future__ import annotations

import json
import sys
import time
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import SecretStr

from pas_dagster import calendar, settings
from pas_dagster.assets import resources
from pas_dagster.automation import backfill
from pas_dagster.errors import PasError
from pas_dagster.lake import Lake
from pas_dagster.sandbox.broker.hours import Hand
from pas_dagster.sandbox.broker.paper import PaperAccount, prices
from pas_dagster.sandbox.broker.server import KEY, SECRET, BrokerSandbox, serving
from pas_dagster.schemas import TABLES

DAYS = calendar.sessions(date(2024, 5, 1), date(2024, 6, 28))
YESTERDAY, TODAY, TOMORROW = DAYS[-3:]
CLOSES = {"AAA": 50.0, "BBB": 20.0, "CCC": 10.0}
EXECUTED = ["order_batch", "fills", "trades", "account_metrics_paper", "account_metrics_live"]
SHOWN = [
    "order_batch",
    "fills",
    "trades",
    "account_metrics_paper",
    "account_metrics_live",
    "reconciliation",
    "positions",
]


def main(home: Path) -> dict[str, Any]:
    hand = Hand(calendar.midnight(TODAY).replace(hour=10))
    resources.now = hand
    book = PaperAccount(prices(dict(CLOSES)), hand, 100_000)
    sandbox = BrokerSandbox(book)
    with serving(sandbox) as url:
        chosen = settings.load(
            home=home,
            world="real",
            start=DAYS[0],
            database_url=None,
            broker="alpaca",
            broker_url=url,
            alpaca_key_id=SecretStr(KEY),
            alpaca_secret_key=SecretStr(SECRET),
            broker_patience=5,
            requests_per_minute=100_000,
            gates={"name_share": None, "sector_share": None},
        )
        settings.choose(chosen)
        from pas_dagster.automation.session import working

        with working(chosen) as instance:
            return Account(sandbox, instance, hand).run()


class Account:
    """The runs, one after the other."""

    def __init__(self, sandbox: BrokerSandbox, instance: Any, hand: Hand) -> None:
        from pas_dagster.assets.resources import Workshop

        self.sandbox, self.instance, self.hand = sandbox, instance, hand
        self.lake: Lake = Workshop().lake

    def run(self) -> dict[str, Any]:
        self.fill()
        found = {"history": self.execute([YESTERDAY])}
        self.hand.to(calendar.midnight(TODAY).replace(hour=8))
        found["too early"] = self.execute([TODAY])
        self.hand.to(calendar.midnight(TODAY).replace(hour=10))
        found["today"] = self.execute([TODAY])
        found["again"] = self.execute([TODAY])
        found["range"] = self.execute([YESTERDAY, TODAY])
        found["books"] = self.look()
        self.sandbox.account.cash += 5
        found["different"] = self.look()
        found["halted"] = self.execute([TODAY])
        return found

    def fill(self) -> None:
        """Bars through yesterday, and targets of which today's take effect."""
        bars = [
            {"known_on": day, "event_date": day, "symbol": name, "close": close, "volume": 1e8, "provider": "x"}
            for day in DAYS[:-2]
            for name, close in CLOSES.items()
        ]
        self.keep("prices", bars)
        listed = {"kind": "stock", "sector": "tech", "index_name": "x", "action": "add", "provider": "x"}
        self.keep(
            "universe",
            [{"known_on": DAYS[0], "event_date": DAYS[0], "symbol": n, "name": n, **listed} for n in CLOSES],
        )
        targets = [
            {"decision": day, "sleeve": sleeve, "symbol": symbol, "weight": share * part, "sleeve_weight": part}
            | {"sleeve_share": share, "rebalance": day == TODAY, "resize": day == TODAY}
            | {"weights_from": day, "allocation_from": day}
            for day in (YESTERDAY, TODAY)
            for sleeve, share, symbol, part in (
                *(("alpha", 0.5, "AAA", 0.6), ("alpha", 0.5, "BBB", 0.2), ("alpha", 0.5, "$CASH", 0.2)),
                *(("beta", 0.3, "CCC", 1.0),),
            )
        ]
        self.keep("portfolios", targets)

    def keep(self, name: str, rows: list[dict[str, Any]]) -> None:
        table = TABLES[name]
        blank = {column.name: None for column in table.columns if column.nullable}
        frame = table.conform(pd.DataFrame([blank | row for row in rows]))
        self.lake.replace(table, sorted(frame[table.partition].dt.date.unique()), frame)

    def execute(self, days: list[date]) -> dict[str, Any]:
        return self.materialise(EXECUTED, [day.isoformat() for day in days])

    def look(self) -> dict[str, Any]:
        return self.materialise(["reconciliation", "positions"], [TODAY.isoformat()])

    def materialise(self, names: list[str], keys: list[str]) -> dict[str, Any]:
        from pas_dagster.definitions import defs

        before = len(self.sandbox.log)
        said = None
        try:
            for layer in backfill.layers(defs, names):
                backfill.run_layer(defs, self.instance, layer, keys, time.monotonic)
        except PasError as error:
            said = str(error)
        asked = self.sandbox.log[before:]
        return {
            "said": said,
            "asked": len(asked),
            "posted": sum(method == "POST" for method, _, _ in asked),
            "rows": {name: len(self.lake.read(TABLES[name])) for name in SHOWN},
            "verdicts": sorted(set(self.lake.read(TABLES["reconciliation"])["verdict"])),
            "states": sorted(set(self.lake.read(TABLES["order_batch"])["state"])),
            "value": float(self.lake.read(TABLES["positions"])["value"].sum()),
            "equity": self.lake.read(TABLES["account_metrics_paper"])["equity"].tolist(),
        }


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
