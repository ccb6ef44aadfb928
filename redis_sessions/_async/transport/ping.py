"""Ask all nodes whether they answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..._core.protocol.transport_errors import ConnectionRejected, TransportError
from ...errors import SessionsError, StoreError, StoreUnavailable
from .refusals import DENIED, server_error
from .router import Router


async def ping(router: Router, where: str) -> None:
    """Return when every node has answered. Raises StoreUnavailable, StoreError and AccessDenied, without a retry."""
    try:
        replies: Sequence[Any] = await router.send_to_all(("PING",))
    except (TransportError, *DENIED) as problem:
        replies = [problem]
    for reply in replies:
        if not isinstance(reply, Exception):
            continue
        refusal = reply if isinstance(reply, TransportError) else server_error(where, "", reply)
        if isinstance(refusal, ConnectionRejected):
            raise StoreError(where=where, detail=str(refusal))
        if isinstance(refusal, SessionsError):
            raise refusal
        raise StoreUnavailable(where=where, waited=0.0, detail=str(refusal))
