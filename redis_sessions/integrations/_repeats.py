"""Writes that happen once although their caller repeats them, and outlast the cancellation of their caller."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from hashlib import sha1
from typing import Any, NamedTuple, TypeVar
from uuid import uuid4
from weakref import ReferenceType, ref

T = TypeVar("T")
_MAX_FAILED = 1000
"""Writes of one object that are remembered."""


class _Caller(NamedTuple):
    """The task of a write, or its thread after that task ended, because each call may have a task of its own."""

    task: ReferenceType[asyncio.Task[Any]]
    thread: int

    @classmethod
    def current(cls) -> _Caller:
        """Return the caller of this function."""
        task = asyncio.current_task()
        assert task is not None
        return cls(ref(task), threading.get_ident())

    def is_same(self, later: _Caller) -> bool:
        """Return whether a later write is by this caller."""
        task = self.task()
        return self.thread == later.thread and (task is None or task.done() or task is later.task())


class _Failure(NamedTuple):
    place: str
    digest: str
    batch_id: str
    caller: _Caller


class Repeats:
    """The writes of one object whose outcome is not known.

    A caller that repeats such a write means the same write, so it gets the same batch ID. A caller that has made another write
    at the same place since has moved on. Writes of other callers change nothing.
    """

    def __init__(self) -> None:
        self._failed: list[_Failure] = []
        self._lock = threading.Lock()

    async def once(self, content: Any, write: Callable[[str], Awaitable[T]], *, place: str = "") -> T:
        """Make a write with a batch ID: that of a write before, if one with this content failed at this place.

        A cancelled caller gets CancelledError when the outcome is known.
        """
        caller = _Caller.current()
        earlier = tuple(self._failed)
        batch_id = self._take(place, _digest(content), caller) if earlier else None
        batch_id = batch_id or uuid4().hex
        try:
            result = await write(batch_id)
        except asyncio.CancelledError:
            if not await _succeeds(write(batch_id)):  # the server recognises what it has stored under this ID
                self._remember(place, content, batch_id, caller)
            raise
        except BaseException:
            self._remember(place, content, batch_id, caller)
            raise
        if earlier:
            left = {one.batch_id for one in earlier if one.place == place and one.caller.is_same(caller)}
            with self._lock:
                self._failed = [one for one in self._failed if one.batch_id not in left]
        return result

    def _remember(self, place: str, content: Any, batch_id: str, caller: _Caller) -> None:
        with self._lock:
            self._failed = [*self._failed, _Failure(place, _digest(content), batch_id, caller)][-_MAX_FAILED:]

    def _take(self, place: str, digest: str, caller: _Caller) -> str | None:
        """Return the batch ID of a failed write with this content, the caller's own first. Each is returned once."""
        with self._lock:
            found = [one for one in self._failed if (one.place, one.digest) == (place, digest)]
            found.sort(key=lambda one: not one.caller.is_same(caller))
            self._failed = [one for one in self._failed if one not in found[:1]]
        return found[0].batch_id if found else None


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
    try:
        await asyncio.wait([task])
    except asyncio.CancelledError:
        await _succeeds(task)
        raise
    return task.result()


async def _succeeds(write: Awaitable[Any]) -> bool:
    """Wait for the outcome of a write, however often the caller is cancelled. Return whether the write succeeded."""
    task = asyncio.ensure_future(write)
    with _shield():
        while not task.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([task])
    return not task.cancelled() and task.exception() is None


def _shield() -> AbstractContextManager[Any]:
    """Return a block in which anyio does not cancel its task again and again, which would keep a processor busy."""
    anyio = sys.modules.get("anyio")  # without it, the task is in no scope of anyio
    return nullcontext() if anyio is None else anyio.CancelScope(shield=True)
