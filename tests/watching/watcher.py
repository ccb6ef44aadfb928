"""Gathers what a watcher sees."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

from redis_sessions import SessionEvent

X = {"role": "user", "content": "x"}


def until(condition: Callable[[], object], seconds: float = 5) -> None:
    due = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < due
        time.sleep(0.005)


class Watcher:
    """Gathers events in a thread of its own."""

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

    def until(self, condition: Callable[[list[SessionEvent]], bool], seconds: float = 5) -> list[SessionEvent]:
        due = time.monotonic() + seconds
        while not condition(self.events):
            assert time.monotonic() < due, self.problem or self.events
            time.sleep(0.005)
        return self.events

    def end(self, seconds: float = 5) -> list[SessionEvent]:
        self._thread.join(seconds)
        assert not self._thread.is_alive(), self.events
        return self.events


def kinds(events: list[SessionEvent]) -> list[str]:
    return [f"{event.kind} {event.status or event.seq}" for event in events]
