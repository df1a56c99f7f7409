"""Processes that rehearse strategies, and how they come to be there quickly.

They are forked from a process apart that has imported what they need and nothing else: importing takes seconds, and a
fork of the asking process would share its database connections. What the asking process learns later (its database's
address among it) reaches them as environment variables.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from typing import Any

NEEDED = "pas_dagster.automation.backtest"


def prepare() -> None:
    """Let the process apart begin to import, while this one has other things to do."""
    _context()
    forkserver.ensure_running()


def pool(workers: int, begin: Callable[..., None], *told: Any) -> ProcessPoolExecutor:
    """That many workers; each calls `begin` with what it is told before its first work."""
    return ProcessPoolExecutor(workers, _context(), _enter, (dict(os.environ), begin, told))


def _enter(variables: dict[str, str], begin: Callable[..., None], told: tuple[Any, ...]) -> None:
    os.environ.update(variables)
    begin(*told)


def _context() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([NEEDED])
    return context
