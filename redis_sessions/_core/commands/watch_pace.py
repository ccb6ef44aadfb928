"""The pace of a watch: when it yields a heartbeat, and when it ends although more could come."""

from __future__ import annotations

import time
from typing import Protocol

from ..._durations import Duration, milliseconds
from ...errors import InvalidInput
from ...models.events import WatchEnd

STOP_SECONDS = 0.25
"""The longest time after which a watch sees that it was stopped."""


class Stoppable(Protocol):
    """An event such as `threading.Event` or `asyncio.Event`."""

    def is_set(self) -> bool:
        """Return whether the watch is to end."""
        ...


class WatchPace:
    """The silence of a watch, and its bounds."""

    def __init__(self, timeout: Duration | None, heartbeat: Duration | None, stop: Stoppable | None) -> None:
        """Check the arguments of a watch. Raises InvalidInput."""
        self._timeout = None if timeout is None else milliseconds(timeout, "timeout") / 1000
        bounds = "0.1 s to a day"
        self._heartbeat = (
            None
            if heartbeat is None
            else milliseconds(heartbeat, "heartbeat", minimum=100, maximum=86_400_000, bounds=bounds) / 1000
        )
        if stop is not None and not hasattr(stop, "is_set"):
            detail = f"must be an event, such as threading.Event or asyncio.Event, got {stop!r}"
            raise InvalidInput(name="stop", detail=detail)
        self._stop = stop
        self.note_event()

    def note_event(self) -> None:
        """Begin to count the silence."""
        self._heard = self._beat = time.monotonic()

    @property
    def is_stopped(self) -> bool:
        """True if the caller stopped the watch."""
        return self._stop is not None and self._stop.is_set()

    @property
    def is_over(self) -> bool:
        """True if the watch was stopped, or nothing happened for its timeout."""
        if self.is_stopped:
            return True
        return self._timeout is not None and time.monotonic() - self._heard >= self._timeout

    @property
    def end_reason(self) -> WatchEnd:
        """The reason of an end that this pace made."""
        return "stopped" if self.is_stopped else "timeout"

    def takes_heartbeat(self) -> bool:
        """Return whether a heartbeat is due now, and count the silence until the next one."""
        if self._heartbeat is None or time.monotonic() - self._beat < self._heartbeat:
            return False
        self._beat = time.monotonic()
        return True

    def pause(self, longest: float) -> float:
        """Return how long the watch may wait for what happens next, at most `longest` seconds."""
        now, pauses = time.monotonic(), [longest]
        if self._timeout is not None:
            pauses.append(self._heard + self._timeout - now)
        if self._heartbeat is not None:
            pauses.append(self._beat + self._heartbeat - now)
        if self._stop is not None:
            pauses.append(STOP_SECONDS)
        return max(min(pauses), 0)
