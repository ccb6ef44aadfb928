"""What a forked process must not inherit: locks that another thread held, and threads that are not there."""

from __future__ import annotations

import os
from collections.abc import Callable
from weakref import WeakMethod


def in_child(method: Callable[[], None]) -> None:
    """Calls a method in every process that is forked from now on, as long as its object lives."""
    found = WeakMethod(method)

    def run() -> None:
        method = found()
        if method is not None:
            method()

    os.register_at_fork(after_in_child=run)
