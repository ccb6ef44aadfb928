"""Reset what a forked process must not inherit: locks that another thread held, and threads that do not exist there."""

from __future__ import annotations

import os
from collections.abc import Callable
from weakref import WeakMethod


def run_in_child(method: Callable[[], None]) -> None:
    """Call a bound method in every process that is forked from now on, for as long as its object lives."""
    found = WeakMethod(method)

    def run() -> None:
        method = found()
        if method is not None:
            method()

    os.register_at_fork(after_in_child=run)
