"""The messages that scripts publish on a process's channel, for one waiter or watcher each."""

from __future__ import annotations

from typing import Literal, NamedTuple

Word = Literal["granted", "held", "lost", "run", "ask", "new", "status", "delta", "gone", "position"]
_WITH_DATA = frozenset([b"new", b"status", b"delta", b"gone"])


class Notification(NamedTuple):
    """One published message.

    For a waiter:
        granted: the lease is the waiter's for `ms` unless it is renewed, with this `fence`.
        held: another worker holds the lease for `ms`, with this `fence`.
        lost: the lease that this process held may be gone, so that its holder must ask the server.
        run: `run` is reserved for this worker to claim.
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
    run: str = ""
    data: bytes = b""


ASK = Notification("ask")


def parse_notification(message: bytes) -> tuple[str, Notification]:
    """Return the nonce of the receiver and the notification. The form is '<nonce> <word> <facts>'."""
    nonce, word, facts = message.split(b" ", 2)
    if word in _WITH_DATA:
        return nonce.decode(), Notification(word.decode(), data=facts)  # type: ignore[arg-type]
    if word == b"run":
        return nonce.decode(), Notification("run", run=facts.decode())
    fence, ms = facts.split()
    return nonce.decode(), Notification(word.decode(), int(fence), int(ms))  # type: ignore[arg-type]
