# Generated from _async/services/watch.py by tools/mirror.py; edit that file.
"""A watch as its caller sees it: an iterator of events, and why it ended."""

from __future__ import annotations

from collections.abc import Callable, Generator

from ..._pickling import NotPicklable
from ...models.events import SessionEvent, WatchEnd


class Watch(NotPicklable):
    """The events of a watch, one at a time, and why the watch ended.

    A watch that is dropped before its end, for example by `break`, ends its subscription.
    """

    _instead = "send the `cursor` of its last event, and watch there"

    def __init__(self, events: Generator[SessionEvent, None], reason: Callable[[], WatchEnd]) -> None:
        self._events = events
        self._reason = reason
        self._end_reason: WatchEnd | None = None
        self._is_closed = False

    @property
    def end_reason(self) -> WatchEnd | None:
        """The reason why the watch ended. None as long as it goes on, and when it raised or was closed.

        - ended: the session has ended.
        - deleted: the session, or the root of the tree, is gone.
        - timeout: nothing happened for the `timeout` of the watch.
        - stopped: the `stop` of the watch was set.
        """
        return self._end_reason

    def __iter__(self) -> Watch:
        return self

    def __next__(self) -> SessionEvent:
        try:
            for event in self._events:
                return event
        except BaseException:
            self._is_closed = True
            raise
        if self._end_reason is None and not self._is_closed:
            self._end_reason = self._reason()
        raise StopIteration

    def close(self) -> None:
        """End the watch now, and its subscription."""
        self._is_closed = True
        self._events.close()
