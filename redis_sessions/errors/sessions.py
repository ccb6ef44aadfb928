"""What one session refuses."""

from __future__ import annotations

from typing import Self

from .base import SessionsError


class SessionNotFound(SessionsError):
    """The session does not exist: never created, deleted, or expired."""

    code = "NOT_FOUND"
    template = "session {session_id!r} does not exist: it was never created, was deleted, or expired"
    session_id: str


class SessionReplaced(SessionNotFound):
    """The session was deleted and created again under the same id; this handle belongs to its former life."""

    code = "REPLACED"
    template = "session {session_id!r} was deleted and created again; this handle is of its former life: open it anew"


class SessionExists(SessionsError):
    """`create` or an import met a session with this id. `get_or_create` hands it out instead."""

    code = "EXISTS"
    template = (
        "session {session_id!r} already exists; get_or_create() hands out an existing one,"
        " an import with existing='skip' or 'replace' leaves or replaces it"
    )
    session_id: str


class SessionChanged(SessionsError):
    """A session was written faster than it, or the tree it is in, could be exported or replaced."""

    template = (
        "session {session_id!r}, or what is below it, was changed meanwhile {tries} times in a row: pause it first"
    )
    session_id: str
    tries: int


class SessionNotActive(SessionsError):
    """The session is paused or has ended, so it takes no messages."""

    code = "NOT_ACTIVE"
    reply = ("status",)
    template = "session {session_id!r} is {status} and takes no messages"
    session_id: str
    status: str


class InvalidTransition(SessionsError):
    """An ended session stays as it ended."""

    code = "TRANSITION"
    reply = ("status", "wanted")
    template = "session {session_id!r} is {status} and cannot become {wanted}: an ended session stays as it ended"
    session_id: str
    status: str
    wanted: str


class SessionLocked(SessionsError):
    """Another holds the session's lease (or got it before the wait was over), for `left_ms` unless it is renewed."""

    code = "LOCKED"
    reply = ("holder", "fence", "left_ms")
    template = (
        "session {session_id!r} is held by {holder} (fence {fence}) for another {left_ms} ms unless renewed:"
        " wait longer for the lease, send() to its inbox, or write with lease.session if it is your own"
    )
    session_id: str
    holder: str
    fence: int
    left_ms: int


class LeaseLost(SessionsError):
    """The lease is not held: it was released, it ran out, or another has it. `fence` is the highest that was granted."""

    code = "LEASE_LOST"
    reply = ("fence", "holder")
    template = "the lease on session {session_id!r} is not held any more ({detail}); nothing was written"
    session_id: str
    fence: int
    holder: str
    detail: str

    @classmethod
    def from_reply(cls, session_id: str, words: list[str]) -> Self:
        """Says who has it."""
        fence, holder = int(words[0]), words[1]
        detail = "it was released or ran out" if holder == "-" else f"fence {fence} is with {holder}"
        return cls(session_id=session_id, fence=fence, holder=holder, detail=detail)


class RevisionConflict(SessionsError):
    """The session changed since the caller read it. `rev` is the current revision."""

    code = "REVISION"
    reply = ("rev",)
    template = "session {session_id!r} is at revision {rev}, not at the expected one: read it again, then retry"
    session_id: str
    rev: int


class SessionRegressed(SessionsError):
    """The server knows less than it had acknowledged: a failover lost writes. `seen` was promised, `known` is left."""

    code = "REGRESSED"
    reply = ("known", "seen")
    template = (
        "session {session_id!r} ends at seq {known}, but seq {seen} was acknowledged before: the server lost writes"
        " (a failover?); open the session anew and append again what is missing"
    )
    session_id: str
    known: int
    seen: int


class LimitExceeded(SessionsError):
    """A limit of the session would be passed. `limit`: turns, entries, duration (ms), pinned or fields."""

    code = "LIMIT"
    reply = ("limit", "current", "max", "action")
    template = "session {session_id!r} would pass its limit of {limit}: {current}, at most {max}"
    session_id: str
    limit: str
    current: int
    max: int
    action: str


class MessageTooLarge(SessionsError):
    """A message is over the session's `max_message_bytes`."""

    code = "TOO_LARGE"
    reply = ("size", "max")
    template = "a message of {size} bytes is over the limit of {max} (max_message_bytes) of session {session_id!r}"
    session_id: str
    size: int
    max: int


class MessageNotFound(SessionsError):
    """No retained message has this seq."""

    code = "NO_MESSAGE"
    reply = ("seq",)
    template = "session {session_id!r} has no retained message with seq {seq}"
    session_id: str
    seq: int


class NotANumber(SessionsError):
    """`state.add` met a value that is no whole number within ±(2^53 - 1), or would leave that range."""

    code = "NOT_A_NUMBER"
    reply = ("field",)
    template = "{field!r} of session {session_id!r} is no whole number within ±(2^53 - 1), or the sum would not be"
    session_id: str
    field: str


class RangeMoved(SessionsError):
    """The messages to be compacted are not there as the caller knew them, end in a pinned one, or just before a tool result."""

    code = "RANGE"
    reply = ("first", "last", "first_seq", "last_seq")
    template = (
        "session {session_id!r} retains seqs {first_seq} to {last_seq}; {first} to {last} cannot be compacted: the range must"
        " begin at the first, and may not end in a pinned message or before a tool result"
    )
    session_id: str
    first: int
    last: int
    first_seq: int
    last_seq: int
