"""Let SIGTERM and SIGINT stop workers, and give back the handlers that were there before."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_NUMBERS = (signal.SIGTERM, signal.SIGINT)
_stops: list[Callable[[], object]] = []
_takers: list[Callable[[], object]] = []
"""The stops of blocks in the main thread. Only these take signals."""
_found: dict[int, Any] = {}


def _stop_all(number: int, frame: FrameType | None) -> None:
    for stop in list(_stops):
        stop()


@contextmanager
def stop_on_signals(stop: Callable[[], object]) -> Iterator[None]:
    """In the block SIGTERM and SIGINT call `stop`. Several blocks at once are all called.

    A block of the main thread takes the signals. When the last such block ends, the handlers that it found are back.
    """
    is_taker = threading.current_thread() is threading.main_thread()  # no other thread may set handlers
    _stops.append(stop)
    try:
        if is_taker:
            _takers.append(stop)
            _take()
        yield
    finally:
        _stops.remove(stop)
        if is_taker:
            _takers.remove(stop)
            if not _takers:
                _give_back()


def _take() -> None:
    for number in _NUMBERS:
        found = signal.getsignal(number)
        if found is not None and found is not _stop_all:  # a handler that is not from Python could not be given back
            _found[number] = found
            signal.signal(number, _stop_all)


def _give_back() -> None:
    for number in _NUMBERS:
        found = _found.pop(number, None)
        if found is not None and signal.getsignal(number) is _stop_all:  # else the program set another one since
            signal.signal(number, found)
