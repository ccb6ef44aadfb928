"""The index of threads that have checkpoints. An entry is a hint: it is written before the thread, and checked by lists.

A process relies on its registration of a thread as long as the thread exists. A thread that another process deleted, or that
expired, is registered again before a write creates it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from ..._core.commands import checkpoints
from ..._core.protocol.call import Call
from ..._core.protocol.keys import checkpoint_keys, index_keys
from ..._durations import whole
from ...models.pages import Page
from ..transport.executor import Executor
from .registered_names import RegisteredNames

_REGISTERED_SECONDS = 3600.0
"""The time for which a process relies on its registration of a thread."""


class ThreadIndex:
    """The threads of one namespace. All event loops of a cache share what it remembers."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        self._index = index_keys(namespace, "threads")
        self._registered = RegisteredNames(_REGISTERED_SECONDS)

    def hints(self, thread: str) -> Sequence[Call[Any]]:
        """Return the calls that must precede a write to a thread: its registration, once an hour for each process."""
        if thread in self._registered:
            return ()
        done = partial(self._registered.add, thread)
        return (checkpoints.register_thread(self._index, thread, done),)

    def forget(self, thread: str) -> None:
        """Have the next write register a thread, because the thread is not there any more."""
        self._registered.discard(thread)

    async def remove(self, executor: Executor, threads: Sequence[str]) -> None:
        """Take threads that do not exist out of the index. One that came to exist in the meantime is put back."""
        for thread in threads:
            self.forget(thread)
        await executor.run(checkpoints.unregister_threads(self._index, threads))
        keys = [checkpoint_keys(self._namespace, thread) for thread in threads]
        present = await executor.get_many([checkpoints.exists(one) for one in keys])
        back = [thread for thread, is_there in zip(threads, present, strict=True) if is_there]
        await executor.get_many([checkpoints.register_thread(self._index, thread, lambda: None) for thread in back])

    async def page(self, executor: Executor, limit: int, cursor: str | None, labels: Sequence[str]) -> Page[str]:
        """Return a page of threads that exist, ascending. With labels: those that have checkpoints with one of them."""
        whole(limit, "limit", minimum=1, maximum=checkpoints.MAX_PAGE)
        names = await executor.run(checkpoints.list_threads(self._index, cursor, limit))
        keys = [checkpoint_keys(self._namespace, thread) for thread in names]
        present = await executor.get_many([checkpoints.exists(one) for one in keys])
        if gone := [thread for thread, is_there in zip(names, present, strict=True) if not is_there]:
            await self.remove(executor, gone)
        found = [one for one, is_there in zip(keys, present, strict=True) if is_there]
        if labels:
            counts = await executor.get_many([checkpoints.count_labels(one, labels) for one in found])
            found = [one for one, count in zip(found, counts, strict=True) if count]
        return Page([one.id for one in found], names[-1] if len(names) == limit else None)
