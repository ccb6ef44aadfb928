"""Writes that happen once although their caller repeats them, and outlast the cancellation of their caller."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from hashlib import sha1
from typing import Any, TypeVar
from uuid import uuid4

T = TypeVar("T")
_MAX_FAILED = 100
"""Writes of one object that are remembered."""


class Repeats:
    """The writes of one object whose outcome is not known.

    A caller that repeats such a write means the same write, so it gets the same batch ID. A caller that has made another write
    since has moved on.
    """

    def __init__(self) -> None:
        self._begun = 0
        self._failed: dict[str, tuple[int, str]] = {}

    async def once(self, content: Any, write: Callable[[str], Awaitable[T]]) -> T:
        """Make a write with a batch ID: that of the write before, if a write with this content failed."""
        self._begun += 1
        number = self._begun
        batch_id = uuid4().hex
        if self._failed:
            batch_id = self._failed.get(_digest(content), (0, batch_id))[1]
        try:
            result = await write(batch_id)
        except BaseException:
            self._failed[_digest(content)] = self._begun, batch_id
            while len(self._failed) > _MAX_FAILED:
                del self._failed[next(iter(self._failed))]
            raise
        if self._failed:
            failed = self._failed.items()
            self._failed = {key: one for key, one in failed if one[0] >= number and one[1] != batch_id}
        return result


def _digest(content: Any) -> str:
    try:
        text = json.dumps(content, default=_plain)
    except (TypeError, ValueError, RecursionError):  # what is not JSON was refused, so it is never repeated
        text = repr(content)
    return sha1(text.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()


def _plain(value: Any) -> Any:
    return value.to_dict() if hasattr(value, "to_dict") else repr(value)


async def settled(write: Awaitable[T]) -> T:
    """Wait for the outcome of a write, also if the caller is cancelled. Then raise the CancelledError."""
    task = asyncio.ensure_future(write)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as problem:
            cancelled = cancelled or problem
    if cancelled is not None and not task.cancelled():
        task.exception()
        raise cancelled
    return task.result()
