"""One run that trades the first session at a sandbox broker, as a process of its own.

python -m pas_dagster_tests.automation.rebalancer LEDGER_URL BROKER_URL
"""

from __future__ import annotations

import sys
import warnings

from pas_dagster.execution.brokers import alpaca
from pas_dagster.execution.desk import Patience, trade
from pas_dagster.execution.guard import Guard
from pas_dagster.ledger.store import Ledger
from pas_dagster.sandbox.broker.server import KEY, SECRET
from pas_dagster_tests.execution import world
from pas_dagster_tests.execution.brokerage import DAY, FAST, LOOSE, SPEC, calm, ten


def main(ledger: str, broker: str) -> None:
    opened = Ledger(ledger)
    link = alpaca.connect(KEY, SECRET, broker, requests_per_minute=FAST, data_requests_per_minute=FAST)
    guard = Guard(LOOSE, broker, conditions=calm)
    found = trade(
        opened, SPEC, world.targets()[DAY], DAY, world.market(), link, lambda: ten(DAY), guard, Patience(10.0)
    )
    print(sorted(found.order_batch["client_order_id"]))
    opened.close()


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(*sys.argv[1:])
