"""A process of its own: definitions are built once a process. Fetches datasets in good, bad and good weather.

Prints one JSON object: what each run said, which checks failed, and what was stored after it.
"""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from pas_dagster import settings
from pas_dagster.assets import resources
from pas_dagster.automation import backfill
from pas_dagster.errors import PasError
from pas_dagster.sandbox.faults import Fault, Weather
from pas_dagster.sandbox.server import Sandbox, serving
from pas_dagster.sandbox.world import World
from pas_dagster.schemas import TABLES

START, TODAY = date(2024, 6, 3), date(2024, 6, 28)
NOW = datetime(2024, 6, 28, 15, tzinfo=UTC)
BEFORE, DAY = "2024-06-26", "2024-06-27"


def main(home: Path) -> dict[str, Any]:
    resources.now = lambda: NOW
    sandbox = Sandbox(World(7, START, TODAY), now=lambda: NOW)
    with serving(sandbox) as url:
        chosen = settings.load(home=home, world="sandbox", start=START, sandbox_url=url, database_url=None)
        settings.choose(chosen)
        from pas_dagster.automation.session import working

        with working(chosen) as instance:
            return Storm(sandbox, instance).run()


class Storm:
    """The runs, one after the other."""

    def __init__(self, sandbox: Sandbox, instance: Any) -> None:
        self.sandbox = sandbox
        self.instance = instance

    def run(self) -> dict[str, Any]:
        from pas_dagster.assets.suppliers import OFFLINE_TAG

        found = {"universe": self.fetch("universe", [DAY], all_days=True)}
        for name in ("treasury_rates", "prices", "reddit_mentions"):
            found[f"{name} before"] = self.fetch(name, [BEFORE])
        found["emptied"] = self.struck(Fault.EMPTY_TABLE, "prices", keys=[BEFORE])
        found["renamed"] = self.struck(Fault.RENAMED, "treasury_rates")
        found["healed"] = self.fetch("treasury_rates", [DAY])
        found["challenged"] = self.struck(Fault.CHALLENGE, "prices", "query2.finance.yahoo.com")
        found["first choice again"] = self.fetch("prices", [DAY])
        found["quiet day"] = self.fetch("catalyst_events", [DAY], all_days=True)
        found["emptied quiet day"] = self.emptied_catalysts(list(found["quiet day"]["days"])[-1])
        asked = self.sandbox.served
        found["again"] = self.fetch("prices", [DAY], tags={OFFLINE_TAG: "yes"})
        found["asked while again"] = self.sandbox.served - asked
        found["today"] = self.fetch("reddit_mentions", [TODAY.isoformat()])
        found["past evening"] = self.fetch("reddit_mentions", [BEFORE])
        return found

    def struck(self, fault: Fault, name: str, host: str = "*", keys: list[str] | None = None) -> dict[str, Any]:
        self.sandbox.weather.append(Weather(fault, host))
        try:
            return self.fetch(name, keys or [DAY])
        finally:
            self.sandbox.weather.clear()

    def emptied_catalysts(self, day: str) -> dict[str, Any]:
        """Ask again for one day that has events, while the site says that there are none."""
        return self.struck(Fault.EMPTY_TABLE, "catalyst_events", keys=[day])

    def fetch(
        self, name: str, keys: list[str], tags: dict[str, str] | None = None, *, all_days: bool = False
    ) -> dict[str, Any]:
        from pas_dagster.assets.resources import Workshop
        from pas_dagster.definitions import defs

        (layer,) = backfill.layers(defs, [name])
        if all_days:
            keys = [key for key in layer.partitions.get_partition_keys(current_time=NOW) if key <= keys[-1]]
        said = None
        try:
            backfill.run_layer(defs, self.instance, layer, keys, time.monotonic, tags)
        except PasError as error:
            said = str(error)
        rows = Workshop().lake.read(TABLES[name])
        return {
            "said": said,
            "days": {f"{day:%F}": int(count) for day, count in rows["known_on"].value_counts().items()},
            "providers": sorted(rows["provider"].unique()),
            "failed checks": self.failed_checks(),
        }

    def failed_checks(self) -> dict[str, str]:
        """Checks of the last run that did not pass, of whatever severity, and what they found."""
        from dagster import DagsterEventType

        run = self.instance.get_runs(limit=1)[0]
        logs = self.instance.all_logs(run.run_id, of_type=DagsterEventType.ASSET_CHECK_EVALUATION)
        found = [log.dagster_event.event_specific_data for log in logs if log.dagster_event]
        return {one.check_name: one.metadata["problem"].value for one in found if not one.passed}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
