"""The events of a captured log."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from redis_sessions._log_events import EVENTS

_STANDARD = {*logging.LogRecord("", 0, "", 0, "", None, None).__dict__, "event", "message", "asctime"}


def events_of(records: Iterable[logging.LogRecord], session_id: str | None = None) -> list[Any]:
    """Return the records of events, of one session or of all. Each must be what its declaration says."""
    found: list[Any] = []
    for record in records:
        name = getattr(record, "event", None)
        if name is None or session_id not in (None, getattr(record, "session_id", None)):
            continue
        event, line = EVENTS[name], record.getMessage()
        assert (record.name, record.levelno) == (event.logger, event.level), name
        assert record.__dict__.keys() - _STANDARD <= set(event.fields), name
        assert line.isprintable(), line
        found.append(record)
    return found
