"""Read the results of replies whose values may be encoded."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from copy import copy
from functools import partial
from typing import Any, TypeVar

from ..._core.commands.forks import origins_of
from ..._core.protocol.blobs import Fetched
from ..._core.protocol.call import Call
from ..._core.protocol.chain import Chain
from ..._core.protocol.encoding import OriginsNeeded
from ..._core.protocol.keys import SessionKeys
from .blob_files import FileMissing, read_decoded

T = TypeVar("T")
Run = Callable[[Call[Any]], Awaitable[Any]]
_MAX_READ_AGAIN = 2
"""The number of times that a call is sent again because a file is missing."""


async def result_of(call: Call[T], reply: Any, chain: Chain | None, run: Run, retry_for: float) -> T:
    """Return the result of a reply. Values that a fork has of another session are decoded with the ID of that session.

    A call that only reads is sent again when a file is missing, because the value may have been replaced since, and a sweep may
    have removed its file.

    Args:
        run: reads of which sessions a session is a fork, one round trip.
        retry_for: how long a blob store is asked again for the file of a value, in seconds.
    """
    if chain is None:
        return call.result(reply)
    if isinstance(call.keys, SessionKeys):
        call.keys.chain = chain
    known: dict[str, Fetched] = {}
    left = 0 if call.writes else _MAX_READ_AGAIN
    while True:
        keys = None
        try:
            if chain.blobs is None:
                return call.result(reply)
            read = partial(call.result, reply)
            return await read_decoded(read, reply, chain, retry_for, known, can_read_again=left > 0)
        except OriginsNeeded as problem:
            keys = problem.keys
        except FileMissing:
            left, known = left - 1, {file: data for file, data in known.items() if data is not None}
        if keys is not None:
            keys.origins = await run(origins_of(keys))
        else:
            reply = await run(_raw(call))


def _raw(call: Call[Any]) -> Call[Any]:
    """Return a call whose result is the reply."""
    again = copy(call)
    again.read = lambda reply: reply
    return again
