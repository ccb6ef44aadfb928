"""Measure how busy this machine is, so that the time bounds of tests are tight on an idle machine and hold on a busy one."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_PAUSE_SECONDS = 0.02
_WORK_SECONDS = 0.001


class LoadMeter:
    """The delay of wake-ups and the slowdown of work, as a thread measures them with 1 ms of work every 20 ms."""

    def __init__(self) -> None:
        self.longest_delay = 0.0
        """The longest delay of a wake-up, in seconds: about 0.001 on an idle machine."""
        self._cpu_seconds = 0.0
        self._wall_seconds = 0.0

    @property
    def slowdown(self) -> float:
        """The time that work takes, divided by the time that the work takes on an idle machine: 1 or more."""
        return max(1.0, self._wall_seconds / self._cpu_seconds) if self._cpu_seconds else 1.0

    def allow(self, seconds: float, wakeups: int = 1) -> float:
        """Return a bound of `seconds` on an idle machine, with a number of wake-ups of processes, for the machine as it is."""
        return seconds * self.slowdown + wakeups * self.longest_delay

    def measure(self) -> None:
        """Sleep, work, and add both measures."""
        began = time.monotonic()
        time.sleep(_PAUSE_SECONDS)
        self.longest_delay = max(self.longest_delay, time.monotonic() - began - _PAUSE_SECONDS)
        cpu, wall = time.thread_time(), time.monotonic()
        while time.thread_time() - cpu < _WORK_SECONDS:
            pass
        self._cpu_seconds += time.thread_time() - cpu
        self._wall_seconds += time.monotonic() - wall


@contextmanager
def measured_load() -> Iterator[LoadMeter]:
    """Measure in the background until the end of the block."""
    meter, stop = LoadMeter(), threading.Event()

    def run() -> None:
        while not stop.is_set():
            meter.measure()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield meter
    finally:
        stop.set()
        thread.join()
