# Generated from _async/services/mistyped_keys.py by tools/mirror.py; edit that file.
"""Calls that meet keys of another type than the library gives them, which another program made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from ..._core.commands import index_entries, stored_values
from ..._core.protocol.call import Call
from ..._core.protocol.keys import EntryKeys
from ...errors import SessionsError
from ..transport.executor import Executor
from .context import CacheContext

T = TypeVar("T")
_BATCH = 400


def run_or_default(executor: Executor, call: Call[T], default: T) -> T:
    """Return the result of a call, or the default if its key has another type than the library gives it."""
    try:
        return executor.run(call)
    except SessionsError as problem:
        if not stored_values.is_wrong_type(problem):
            raise
        return default


def run_all(executor: Executor, calls: Sequence[Call[Any]], mistyped: int = 0) -> list[Any]:
    """Return the results of calls, 400 a round trip. `mistyped`: the result for a key of another type."""
    results: list[Any] = []
    for first in range(0, len(calls), _BATCH):
        results += executor.run_many(calls[first : first + _BATCH])
    return [stored_values.result_or_default(one, mistyped) for one in results]


def remove_all(context: CacheContext, places: Sequence[tuple[Sequence[EntryKeys], Sequence[str]]]) -> int:
    """Remove sessions from indexes. Return how many entries there were. An index of another type stops no other one."""
    removed, places = 0, [(indexes, ids) for indexes, ids in places if ids]
    now_us = context.executor.run(index_entries.server_time(context.namespace))
    for is_cluster in (context.run_queues.is_cluster, True):  # the second time with a call for each index
        calls = [
            call for indexes, ids in places for call in index_entries.remove(indexes, ids, now_us, is_cluster=is_cluster)
        ]  # fmt: skip
        results = run_all(context.executor, calls, mistyped=-1)
        removed += sum(one for one in results if one > 0)
        if is_cluster or -1 not in results:
            break
    return removed
