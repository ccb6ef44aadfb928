"""Collect the events that a watcher yields."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

from redis_sessions import SessionEvent

X = {"role": "user", "content": "x"}


def until(condition: Callable[[], object], seconds: float = 15) -> None:
    """Return when a condition holds. Fail after `seconds`."""
    due = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < due, f"the condition did not hold within {seconds} s"
        time.sleep(0.005)


class Watcher:
    """Collects events in another thread."""

    def __init__(self, events: Iterator[SessionEvent]) -> None:
        self.events: list[SessionEvent] = []
        self.problem: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(events,), daemon=True)
        self._thread.start()

    def _run(self, events: Iterator[SessionEvent]) -> None:
        try:
            for event in events:
                self.events.append(event)
        except BaseException as problem:
            self.problem = problem

    def until(self, condition: Callable[[list[SessionEvent]], bool], seconds: float = 15) -> list[SessionEvent]:
        """Return the events as soon as a condition on the events holds. Fail after `seconds`."""
        due = time.monotonic() + seconds
        while not condition(self.events):
            assert time.monotonic() < due, self.problem or self.events
            time.sleep(0.005)
        return self.events

    def end(self, seconds: float = 15) -> list[SessionEvent]:
        """Return all events after the watch ended. Fail if the watch does not end within `seconds`."""
        self._thread.join(seconds)
        assert not self._thread.is_alive(), self.events
        return self.events


def kinds(events: list[SessionEvent]) -> list[str]:
    """Return one text for each event: its kind, and its status or seq."""
    return [f"{event.kind} {event.status or event.seq}" for event in events]
