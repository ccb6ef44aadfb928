"""Read the results of replies whose values may be encoded."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from ..._core.commands.forks import origins_of
from ..._core.protocol.call import Call
from ..._core.protocol.chain import Chain
from ..._core.protocol.encoding import OriginsNeeded
from ..._core.protocol.keys import SessionKeys

T = TypeVar("T")
Run = Callable[[Call[Any]], Awaitable[Any]]


async def result_of(call: Call[T], reply: Any, chain: Chain | None, run: Run) -> T:
    """Return the result of a reply. Values that a fork has of another session are decoded with the ID of that session.

    Args:
        run: reads of which sessions a session is a fork, one round trip.
    """
    if chain is None:
        return call.result(reply)
    if isinstance(call.keys, SessionKeys):
        call.keys.chain = chain
    while True:
        try:
            return call.result(reply)
        except OriginsNeeded as problem:
            keys = problem.keys
        keys.origins = await run(origins_of(keys))
