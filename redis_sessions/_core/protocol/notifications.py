"""The messages that scripts publish on a process's channel, for one waiter or watcher each.

A message is a hint: anyone who may publish on the channel can forge one. So a receiver acts on what the session says, and a
message that no script publishes is passed over.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from .work import is_work

Word = Literal["granted", "held", "lost", "run", "ask", "new", "status", "delta", "gone", "position"]
MAX_DELTA_BYTES = 65_536
_MAX_BYTES = 2 * MAX_DELTA_BYTES
"""The longest message that is read."""
_NONCE = re.compile(r"[\w.:~-]{1,128}", re.ASCII)
_NUMBERS = re.compile(rb"(\d{1,16}) (\d{1,16})")
_TIME = re.compile(rb"\d{1,16}(?:\.\d{1,16})?")
_WITH_NUMBERS = frozenset([b"granted", b"held", b"lost", b"ask"])
_WITH_DATA = frozenset([b"new", b"status", b"delta", b"gone"])


class Notification(NamedTuple):
    """One published message.

    For a waiter:
        granted: the lease is the waiter's for `ms` unless it is renewed, with this `fence`.
        held: another worker holds the lease for `ms`, with this `fence`.
        lost: the lease that this process held may be gone, so that its holder must ask the server.
        run: work is reserved for this worker to claim: `reserved` is '<time> <work>'.
        ask: the waiter must ask the server again.

    For a watcher, with `data`:
        new: messages were appended.
        status: the status changed.
        delta: a caller published a value that is not stored.
        gone: the session was deleted.
        position: made by the client: the incarnation and last seq that a renewal of the subscription returned.
    """

    word: Word
    fence: int = 0
    ms: int = 0
    reserved: str = ""
    data: bytes = b""


ASK = Notification("ask")


def parse_notification(message: bytes) -> tuple[str, Notification] | None:
    """Return the nonce of the receiver and the notification, or None if no script publishes such a message.

    The form is '<nonce> <word> <facts>'.
    """
    if len(message) > _MAX_BYTES:
        return None
    head, _, facts = message.partition(b" ")
    word, _, facts = facts.partition(b" ")
    nonce = head.decode("ascii", "replace")
    notification = _parse(word, facts) if _NONCE.fullmatch(nonce) else None
    return None if notification is None else (nonce, notification)


def _parse(word: bytes, facts: bytes) -> Notification | None:
    if word in _WITH_DATA:
        return Notification(word.decode(), data=facts)  # type: ignore[arg-type]
    if word == b"run":
        until, _, member = facts.partition(b" ")
        return Notification("run", reserved=facts.decode()) if _TIME.fullmatch(until) and is_work(member) else None
    found = _NUMBERS.fullmatch(facts) if word in _WITH_NUMBERS else None
    return found and Notification(word.decode(), int(found[1]), int(found[2]))  # type: ignore[arg-type]
