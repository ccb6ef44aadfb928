"""Read the results of replies whose values may be encoded."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

from ..._core.commands.forks import origins_of
from ..._core.protocol.blobs import Fetched
from ..._core.protocol.call import Call
from ..._core.protocol.chain import Chain
from ..._core.protocol.encoding import OriginsNeeded
from ..._core.protocol.keys import SessionKeys
from .blob_files import read_decoded

T = TypeVar("T")
Run = Callable[[Call[Any]], Awaitable[Any]]


async def result_of(call: Call[T], reply: Any, chain: Chain | None, run: Run, retry_for: float) -> T:
    """Return the result of a reply. Values that a fork has of another session are decoded with the ID of that session.

    Args:
        run: reads of which sessions a session is a fork, one round trip.
        retry_for: how long a blob store is asked again for the file of a value, in seconds.
    """
    if chain is None:
        return call.result(reply)
    if isinstance(call.keys, SessionKeys):
        call.keys.chain = chain
    known: dict[str, Fetched] = {}
    while True:
        try:
            if chain.blobs is None:
                return call.result(reply)
            return await read_decoded(partial(call.result, reply), reply, chain, retry_for, known)
        except OriginsNeeded as problem:
            keys = problem.keys
        keys.origins = await run(origins_of(keys))
