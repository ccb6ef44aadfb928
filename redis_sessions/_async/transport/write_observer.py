"""The interface by which an executor tells of writes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from ..._core.protocol.call import Call


class WriteObserver(Protocol):
    """Hears of every write of a session. The indexer is one."""

    def before_write(self, call: Call[Any], now: float) -> None:
        """Prepare for the first attempt, for example by adding hints to the call."""

    def after_write(self, call: Call[Any]) -> bool:
        """Take note that the call is over. Return whether `flush` must be awaited before the result is handed over."""
        ...

    def repair_later(self, ids: Iterable[str]) -> None:
        """Hear of sessions whose write failed or changed nothing, or whose hint did not work."""

    async def flush(self) -> None:
        """Do the work that has piled up."""
