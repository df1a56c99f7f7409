"""The front door: one Definitions object, nothing else. Importing it opens no connection and reads no data."""

from __future__ import annotations

from dagster import Definitions, in_process_executor

from pas_dagster.assets import (
    alerts,
    allocation,
    analyses,
    books,
    datasets,
    execution,
    regimes,
    reports,
    risk,
    schemes,
    strategies,
    tear_sheets,
)
from pas_dagster.assets.resources import Workshop
from pas_dagster.assets.wiring import lake_io_manager
from pas_dagster.automation.jobs import JOBS
from pas_dagster.automation.progress import LOGGERS
from pas_dagster.automation.schedules import SCHEDULES
from pas_dagster.automation.sensors import SENSORS

defs = Definitions(
    assets=[
        *datasets.ASSETS,
        *strategies.ASSETS,
        strategies.strategy_returns,
        *regimes.ASSETS,
        *allocation.ASSETS,
        *schemes.ASSETS,
        *execution.ASSETS,
        *books.ASSETS,
        *risk.ASSETS,
        *reports.ASSETS,
        *alerts.ASSETS,
        *analyses.ASSETS,
        *tear_sheets.ASSETS,
    ],
    jobs=JOBS,
    schedules=SCHEDULES,
    sensors=SENSORS,
    resources={"workshop": Workshop(), "lake": lake_io_manager},
    executor=in_process_executor,
    loggers=LOGGERS,
)
