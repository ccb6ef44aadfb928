"""Tests of costs that may run again."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

ATTEMPTS = 3


def repeat_if_dearer(test: Callable[..., None]) -> Callable[..., None]:
    """Let a test of costs fail only when each of three attempts fails, each in a namespace of its own.

    What a process does in the background only adds to a count, so a call that costs too much fails in each attempt.
    """

    @wraps(test)
    def run(*arguments: Any, namespace: str, **fixtures: Any) -> None:
        for attempt in range(1, ATTEMPTS):
            try:
                return test(*arguments, namespace=f"{namespace}-{attempt}", **fixtures)
            except AssertionError:
                continue
        return test(*arguments, namespace=namespace, **fixtures)

    return run
