"""Random programs, which an adapter and the framework's own store run side by side."""

from __future__ import annotations

import os
import random
from collections.abc import Awaitable
from typing import Any

SEEDS = range(400 if os.environ.get("REDIS_SESSIONS_SOAK") else 8)
"""The programs of each kind."""
ODD: list[Any] = [
    None, True, False, 0, -1, 1.5, 2**53, 2**64, -(10**30), "", "é", "💥", "\ud800", "a\n\0b", [], {}, [None], {"": ""},
    {"a": {"b": [1, {"c": None}]}}, "x" * 3000, 1e300, [[[]]],
]  # fmt: skip
"""JSON values at the edges."""
LARGE = 2**70
"""A limit above all that exists, as `sys.maxsize` is."""


class Chance(random.Random):
    """The decisions of a program."""

    def odd(self) -> Any:
        """Return an odd value."""
        return self.choice(ODD)

    def is_true(self, share: float) -> bool:
        """Return True with a probability."""
        return self.random() < share

    def some(self, make: Any, *counts: int) -> list[Any]:
        """Return the results of a function that is called a random number of times."""
        return [make() for _ in range(self.choice(counts))]


async def outcome(call: Awaitable[Any], *errors: type[Exception]) -> tuple[Any, str | None]:
    """Return the result of a call, or the name of its error."""
    try:
        return await call, None
    except errors as problem:
        return None, type(problem).__name__
