"""`pas audit lookahead`: the proof that no weight knows the future, for the built-in strategies or one's own file."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from pas_dagster.automation.session import working
from pas_dagster.console.home import require_data
from pas_dagster.errors import PasError
from pas_dagster.schemas import TABLES
from pas_dagster.settings import Settings

if TYPE_CHECKING:
    from pas_dagster.strategies.contract import Strategy


def run(chosen: Settings, subject: str | None, count: int, seed: int) -> bool:
    """Audit a strategy, those of a file, or all of them, on this home's data; whether nothing was found."""
    require_data(chosen)
    console, clean = Console(), True
    with working(chosen):
        from pas_dagster.assets.history import load_history
        from pas_dagster.assets.resources import Workshop
        from pas_dagster.strategies.audit import random_decisions
        from pas_dagster.strategies.lookahead import examine

        workshop = Workshop()
        last = workshop.lake.last_partition(TABLES["prices"]) or workshop.today
        for strategy in _subjects(subject):
            days = random_decisions(strategy.cadence, _begin(chosen.start, last), last, count, seed)
            if not days:
                raise PasError(f"{strategy.name} decides nothing between {chosen.start} and {last}.")
            history = load_history(workshop.lake, strategy.reads, days, chosen.universe_index)
            report = examine(strategy, history, days, seed, chosen.strategy_seconds)
            clean &= report.passed
            style = "green" if report.passed and report.held else "yellow" if report.passed else "red"
            console.print(str(report), style=style, highlight=False, soft_wrap=True)
            for finding in report.findings:
                console.print(f"  {finding}", style="red", highlight=False, soft_wrap=True)
    return clean


def _begin(start: date, last: date) -> date:
    """Most strategies need a year of history: earlier decisions would prove little."""
    later = date(start.year + 1, start.month, min(start.day, 28))
    return later if later < last else start


def _subjects(subject: str | None) -> list[Strategy]:
    from pas_dagster.assets.strategies import STRATEGIES
    from pas_dagster.strategies.own import NotLoadedError, load

    if subject is None:
        return list(STRATEGIES.values())
    if subject in STRATEGIES:
        return [STRATEGIES[subject]]
    path = Path(subject)
    if path.suffix != ".py":
        raise PasError(f"There is no strategy {subject!r}. `pas strategy list` names them; a file ends in .py.")
    try:
        return load(path)
    except NotLoadedError as error:
        raise PasError(f"{error}.") from None
