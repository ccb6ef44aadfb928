"""Every error this package raises, under one base. Each says what happened and what to do, and carries its facts.

A script refuses with a word (`NOT_FOUND …`); the class with that `code` is raised, its `reply` fields read from the words.
"""

from __future__ import annotations

from typing import Any, ClassVar, Self


class SessionsError(Exception):
    """Base of all errors of this package. `facts` holds what the message was made of; each is an attribute too."""

    code: ClassVar[str] = ""
    reply: ClassVar[tuple[str, ...]] = ()
    template: ClassVar[str] = "{detail}"

    def __init__(self, **facts: Any) -> None:
        self.facts = facts
        self.__dict__.update(facts)
        super().__init__(self.template.format(**facts))

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.facts)

    @classmethod
    def from_reply(cls, session_id: str, words: list[str]) -> Self:
        """The error that a script's refusal means: its words after the first are the `reply` fields."""
        facts = dict(zip(cls.reply, words, strict=False))
        numbers = {name for name, kind in cls.__annotations__.items() if kind == "int"}
        return cls(
            session_id=session_id, **{name: int(word) if name in numbers else word for name, word in facts.items()}
        )


def _rebuild(cls: type[SessionsError], facts: dict[str, Any]) -> SessionsError:
    return cls(**facts)


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
    """`create` met a session with this id. `get_or_create` hands it out instead."""

    code = "EXISTS"
    template = "session {session_id!r} already exists; get_or_create() hands out an existing one"
    session_id: str


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


class SpawnRefused(SessionsError):
    """A spawn was refused, and the caller wanted an exception (`raise_if_refused`). `reason` is the result's."""

    template = "no child was spawned: {message}"
    reason: str
    message: str


class JoinTimeout(SessionsError, TimeoutError):
    """Fewer children than wanted had ended when the time was over. `ended` and `waiting` are their ids."""

    template = "session {session_id!r}: {detail}; join() again, or look at children()"
    session_id: str
    ended: list[str]
    waiting: list[str]
    detail: str


class ReplyTimeout(SessionsError, TimeoutError):
    """No assistant message came in time. `seq` is the last that was there."""

    template = "session {session_id!r}: no reply above seq {seq} within {waited:g} s; what was sent stays sent"
    session_id: str
    seq: int
    waited: float


class InvalidInput(SessionsError, ValueError):
    """An argument was refused before anything was sent."""

    template = "{name}: {detail}"
    name: str
    detail: str


class InvalidState(InvalidInput):
    """A stored value does not have the type that was asked for."""


class OutcomeUnknown(SessionsError):
    """The call may or may not have been carried out. Repeat it, with `batch_id` if there is one: it happens once."""

    template = "session {session_id!r}: no answer for {waited:.1f} s, so the outcome is unknown ({detail}); {advice}"
    code = "UNSETTLED"
    session_id: str
    batch_id: str | None
    waited: float
    detail: str


class NotReplicated(SessionsError):
    """The write was made, but fewer replicas than `acks` acknowledged it in time."""

    template = (
        "session {session_id!r}: the write was made, but {acked} of {wanted} replicas acknowledged it, so a failover now"
        " could lose it; {advice}"
    )
    session_id: str
    acked: int
    wanted: int
    batch_id: str | None


class StoreUnavailable(SessionsError):
    """The server could not be reached, or did not serve, within `retry_for`. Nothing was written."""

    template = "{where} did not serve for {waited:.1f} s ({detail}); check that it runs and that the URL is right"
    where: str
    waited: float
    detail: str


class StoreFull(SessionsError):
    """The server refused the write: `maxmemory` is reached. Nothing was written."""

    template = "{where} is out of memory (maxmemory) and refused the write: free or add memory, then repeat the call"
    where: str


class AccessDenied(SessionsError):
    """The server wants other credentials, or the user lacks a right."""

    template = "{where} refused access: {detail}; check user, password and ACL"
    where: str
    detail: str


class SchemaMismatch(SessionsError):
    """The namespace holds data of another schema version; this version of the package does not touch it."""

    template = (
        "namespace {namespace!r} holds schema {found}, this package writes schema {wanted}: use a matching version"
    )
    namespace: str
    found: str
    wanted: str


class StoreError(SessionsError):
    """The server answered with an error this package does not know."""

    template = "{where} answered: {detail}"
    where: str
    detail: str


def _family(cls: type[SessionsError]) -> list[type[SessionsError]]:
    return [cls, *(found for child in cls.__subclasses__() for found in _family(child))]


BY_CODE = {cls.code: cls for cls in _family(SessionsError) if cls.code}
