"""The common part of every guarded write: the arguments that the script checks first, and the reply with the new revision.

A guarded write names the incarnation, an operation ID, the lease it is made under, and optionally the expected revision.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from ..._durations import whole
from ...errors import SessionNotFound, SessionReplaced
from ..protocol.call import Argument, Call, invoke
from ..protocol.ids import new_operation_id
from ..protocol.keys import SessionKeys
from ..protocol.scripts import Script

T = TypeVar("T")


def guarded_write(
    script: Script,
    keys: SessionKeys,
    incarnation: str,
    lease: str,
    expected_rev: int | None,
    read: Callable[[Any], T],
    *,
    batch: str | None = None,
    operation: str = "",
    rest: Sequence[Argument] = (),
    **arguments: Argument,
) -> Call[T]:
    """Build a call that the script recognises when it is repeated, and refuses when the revision is another one.

    Args:
        batch: the operation ID that the script records. Default: a new one.
        operation: the ID that an OutcomeUnknown error carries, so that the caller can repeat the call.
    """
    call: Call[T] = invoke(
        script, keys, read, rest=rest, operation=operation, incarnation=incarnation,
        operation_id=batch or new_operation_id(), lease=lease, expected_rev=expected_argument(expected_rev),
        **arguments,  # type: ignore[arg-type]
    )  # fmt: skip
    return call


def new_rev(reply: list[bytes]) -> int:
    """Return the revision after a guarded write. The reply is {incarnation, '<rev> <result>'}."""
    return int(reply[1].split()[0])


def result_number(reply: list[bytes]) -> int:
    """Return the number that a guarded write returned in addition to the revision."""
    return int(reply[1].split()[1])


def expected_argument(expected_rev: int | None) -> int | str:
    """Return `expected_rev` as scripts take it: '' for any revision."""
    return "" if expected_rev is None else whole(expected_rev, "expected_rev")


def check_incarnation(keys: SessionKeys, found: bytes | None, incarnation: str) -> None:
    """Refuse the reply of a plain command as scripts refuse a call: SessionNotFound, SessionReplaced."""
    if found is None:
        raise SessionNotFound(session_id=keys.id)
    if incarnation and found.decode() != incarnation:
        raise SessionReplaced(session_id=keys.id)
