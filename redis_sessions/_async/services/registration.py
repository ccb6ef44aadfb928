"""Register a waiter in a session. Where that is refused, the waiter polls."""

from __future__ import annotations

import time
from typing import TypeVar

from ..._core.protocol.call import Call
from ...errors import AccessDenied, OutcomeUnknown, StoreFull, StoreUnavailable
from ..transport.executor import Executor

T = TypeVar("T")
_RETRY_SECONDS = 1.0
"""The time for which a refusal that can pass is retried."""


async def try_to_register(executor: Executor, call: Call[T]) -> T | None:
    """Return the result of a call that registers a waiter, or None if the server takes no writes or does not answer."""
    began = time.monotonic() - max(executor.retry_for - _RETRY_SECONDS, 0)
    try:
        return await executor.run(call, began)
    except (AccessDenied, OutcomeUnknown, StoreFull, StoreUnavailable):
        return None
