"""Progress of runs in this process, taken from Dagster's own events."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

from dagster import InitLoggerContext, logger

Listener = Callable[[str, str], None]  # (event type, step), or (LINE, what the step says)
LINE = "LINE"

RUN_CONFIG: dict[str, Any] = {"loggers": {"progress": {"config": {}}}}
_listeners: list[Listener] = []


class _Relay(logging.Handler):
    """Passes step events on, and lines of progress; the rest stays in the event log, where the UI shows it."""

    def emit(self, record: logging.LogRecord) -> None:
        meta = getattr(record, "dagster_meta", None) or {}
        event = meta.get("dagster_event")
        if event is not None and event.step_key:
            for listener in _listeners:
                listener(event.event_type_value, event.step_key)
        elif event is None and meta.get("step_key"):
            for listener in _listeners:
                listener(LINE, meta.get("orig_message", ""))


@logger(config_schema={}, description="Silent; tells a progress bar which step runs")
def _progress(_: InitLoggerContext) -> logging.Logger:
    quiet = logging.Logger("pas.run", logging.DEBUG)
    quiet.addHandler(_Relay())
    return quiet


@contextmanager
def listening(listener: Listener) -> Generator[None]:
    """Call the listener for every step event of runs made inside the block."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


LOGGERS = {"progress": _progress}
