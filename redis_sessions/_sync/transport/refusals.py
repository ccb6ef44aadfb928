# Generated from _async/transport/refusals.py by tools/mirror.py; edit that file.
"""Tell what a server's error reply means, whatever engine and version words it."""

from __future__ import annotations

import re
from typing import Any

from redis.exceptions import (
    AskError,
    AuthenticationError,
    BusyLoadingError,
    ClusterDownError,
    MasterDownError,
    MovedError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
    TryAgainError,
)

from ..._core.protocol.call import Call
from ..._core.protocol.transport_errors import (
    DENIED_WORDS,
    NOT_READY_WORDS,
    REPLICA_WORDS,
    ConnectionLost,
    ConnectionRejected,
    ServerNotReady,
    TransportError,
    error_word,
)
from ...errors import (
    BY_REFUSAL,
    AccessDenied,
    InvalidInput,
    OutcomeUnknown,
    SessionDamaged,
    SessionsError,
    StoreError,
    StoreFull,
    StoreUnavailable,
)

_SCRIPT_PLACE = re.compile(
    r"^Error running script .*?: (?=@user_script)|@?user_script:\d+: | script: .*@user_script:\d+\.$"
)
"""The place in a script where a command or the script itself failed, in the words of each engine."""
_DATA_FAULT = re.compile(
    r"a (?:nil|string|boolean) value|expected, got (?:nil|no value|boolean|string)|malformed number"
    r"|WRONGTYPE|is not an? (?:valid )?(?:integer|float)"
)
"""Faults that a stored value causes in a script. Others are faults of the script or of the server."""
DENIED = (AuthenticationError, NoPermissionError)
"""Errors that only other credentials or rights can change."""
END_RETRIES = (AccessDenied, InvalidInput, StoreError, StoreFull, StoreUnavailable)
"""Errors that end the retries of a call, and say nothing of an attempt before. InvalidInput: the cache was closed."""
_NOT_READY = (
    ReadOnlyError,
    BusyLoadingError,
    ClusterDownError,
    MasterDownError,
    TryAgainError,
    AskError,
    NoScriptError,  # SCRIPT FLUSH came between the loading of the script and its call
)


def server_error(where: str, id: str, reply: Exception) -> Exception:
    """Return the error to raise for an error reply.

    Args:
        where: the server, as errors name it.
        id: the session of the call.
    """
    text = str(reply)
    word, *facts = text.split() or [""]
    refusal = BY_REFUSAL.get(word)
    if refusal is not None and type(reply) is ResponseError:
        try:
            return refusal.from_reply(id, facts)
        except (LookupError, ValueError):  # a stored word is missing in it
            return SessionDamaged(session_id=id, detail=f"a script met a stored value that it cannot read ({text})")
    word = error_word(text)
    if isinstance(reply, OutOfMemoryError) or word == "OOM":
        return StoreFull(where=where)
    if isinstance(reply, DENIED) or word in DENIED_WORDS:
        return AccessDenied(where=where, detail=text)
    if isinstance(reply, MovedError):
        return StoreError(where=where, detail="this is a node of a cluster: use redis+cluster://")
    if isinstance(reply, _NOT_READY) or word in NOT_READY_WORDS:
        return ServerNotReady(text)
    if "user_script:" in text and _DATA_FAULT.search(text):
        reason = _SCRIPT_PLACE.sub("", text)
        return SessionDamaged(session_id=id, detail=f"a script met a stored value that it cannot read ({reason})")
    return StoreError(where=where, detail=text)


def final_refusal(where: str, call: Call[Any], reply: Exception) -> SessionsError | None:
    """Return the error of a read that was sent with other calls and would be refused again.

    None for a call that must be sent again alone, where it is routed and loaded as needed: a write, a read that asks for
    something first, and a read whose refusal may pass.
    """
    if call.writes or isinstance(reply, NoScriptError | AskError) or str(reply).startswith("NEED_"):
        return None  # MovedError is a kind of AskError
    refusal = server_error(where, call.keys.id, reply)
    return refusal if isinstance(refusal, SessionsError) else None


def is_of_replica(reply: Any) -> bool:
    """Return whether a reply is the refusal of a server that is not a master."""
    if not isinstance(reply, Exception):
        return False
    return isinstance(reply, ReadOnlyError | MasterDownError) or error_word(str(reply)) in REPLICA_WORDS


def repeat_advice(call: Call[Any], otherwise: str) -> dict[str, Any]:
    """Return the batch ID with which a call can be repeated, and the advice to do so."""
    batch_id = call.operation or None
    advice = f"Repeat it with batch_id={batch_id!r}: it is carried out once, however often it is repeated"
    return {"batch_id": batch_id, "advice": advice if batch_id else otherwise[0].upper() + otherwise[1:]}


def end_of_retries(
    where: str, call: Call[Any], problem: Exception, waited: float, *, may_have_written: bool
) -> SessionsError:
    """Return the error of a call that was tried for `waited` seconds and ended with a problem.

    `may_have_written`: no attempt had an answer, and one may have been carried out.
    """
    if not may_have_written:
        return StoreUnavailable(where=where, waited=waited, detail=str(problem))
    advice = repeat_advice(call, "look at what is stored before you repeat the call")
    return OutcomeUnknown(session_id=call.keys.id, waited=waited, detail=str(problem), **advice)


def transport_failure(where: str, call: Call[Any], problem: TransportError) -> SessionsError:
    """Return the error of a call that was tried once and ended with a failure of the transport."""
    if isinstance(problem, ConnectionRejected):
        return StoreError(where=where, detail=str(problem))
    may_have_written = call.writes and isinstance(problem, ConnectionLost)
    return end_of_retries(where, call, problem, 0.0, may_have_written=may_have_written)
