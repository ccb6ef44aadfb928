"""The bounds of an import, which follow from those of the importing cache."""

from __future__ import annotations

import time
from dataclasses import dataclass

from ...bounds import DEFAULT_BOUNDS, StorageBounds
from ...settings import SessionSettings
from ..commands.loops import PAGE_LINES
from ..protocol.chain import MAX_OVERHEAD_BYTES

CLOCK_TOLERANCE_MS = 5 * 60 * 1000
"""The time by which the clocks of the exporting and of the importing machine may differ."""
_MAX_FIELDS = 50_000
"""The most fields of a session by default. Callers add up to 3,000 values and loops. Scripts add kept messages, and up to five
fields for each member of a tree. A cache whose bounds allow more values or loops takes more fields."""
_LINE_HEAD_BYTES = 16
"""The time before an event or a turn, and the end of its line."""
_LOOP_NAME_BYTES = 129


@dataclass
class Bounds:
    """The bounds of the values of one import."""

    now_ms: int
    """The latest time that a record of what happened may have."""
    max_value_bytes: int = 8 * 1024 * 1024
    """The most bytes of one field or message, which one command of the server stores."""
    max_sessions: int = 401
    """The most sessions, which one script moves into place."""
    storage: StorageBounds = DEFAULT_BOUNDS
    """The bounds of the importing cache."""

    @property
    def max_fields(self) -> int:
        """The most fields of one session."""
        more = self.storage.values + self.storage.loops - DEFAULT_BOUNDS.values - DEFAULT_BOUNDS.loops
        return _MAX_FIELDS + max(0, more)

    @classmethod
    def of(cls, settings: SessionSettings, storage: StorageBounds = DEFAULT_BOUNDS) -> Bounds:
        """Return the bounds of an import now. A cache whose settings allow more lets its imports have more."""
        return cls(
            round(time.time() * 1000) + CLOCK_TOLERANCE_MS,
            max(cls.max_value_bytes, settings.max_message_bytes + MAX_OVERHEAD_BYTES, _largest_value(storage)),
            max(cls.max_sessions, settings.max_descendants + 1),
            storage,
        )


def _largest_value(storage: StorageBounds) -> int:
    """Return the most bytes of a field that a cache with these bounds stores: one value, a page of a loop, or names of loops."""
    value: int = max(
        size for name, size in storage.model_dump().items() if name.endswith("_bytes") and name != "parts_bytes"
    )
    page = PAGE_LINES * (max(storage.loop_event_bytes, storage.loop_turn_bytes) + _LINE_HEAD_BYTES)
    return max(value + MAX_OVERHEAD_BYTES, page, storage.loops * _LOOP_NAME_BYTES)
