"""Errors about one session."""

from __future__ import annotations

from typing import Any, Self

from .base import SessionsError


class SessionNotFound(SessionsError):
    """No session has this ID: it was never created, was deleted, expired, or was evicted."""

    reply = ()
    template = "session {session_id!r} does not exist: it was never created, was deleted, expired, or was evicted"
    session_id: str


class SessionReplaced(SessionNotFound):
    """The session was deleted and created again with the same ID. This handle belongs to the former incarnation."""

    reply = ()
    template = (
        "session {session_id!r} was deleted and created again, and this handle belongs to the former incarnation:"
        " open the session again"
    )


class SessionDamaged(SessionsError):
    """A stored record of the session cannot be read, or another program changed the keys. Nothing was removed."""

    reply = ("detail",)
    template = "session {session_id!r} is damaged: {detail}. `redis-sessions doctor --repair` moves it out of the way"
    session_id: str
    detail: str

    @classmethod
    def from_reply(cls, session_id: str, words: list[str]) -> Self:
        """Return the error for a list that has other messages than the counters say, or for parts that are gone."""
        what, listed, expected = words
        if what == "parts":
            return cls(session_id=session_id, detail="the key of its parts is gone, although the session has parts")
        detail = f"its list has {listed} messages, and its counters say {expected}"
        return cls(session_id=session_id, detail=detail)


class SessionExists(SessionsError):
    """A session has this ID already. Raised by `create` and by an import."""

    reply = ()
    template = (
        "session {session_id!r} exists already: use get_or_create() to open it,"
        " or on_conflict='skip' or 'replace' for an import"
    )
    session_id: str


class ConcurrentModification(SessionsError):
    """Other writers changed the session, or its tree, faster than an export, import, long read or adapter could follow."""

    template = (
        "session {session_id!r} or a session below it changed during each of {tries} attempts: pause it, then try again"
    )
    session_id: str
    tries: int


class SessionNotActive(SessionsError):
    """The session is paused or has ended, so it takes no messages."""

    reply = ("status",)
    template = "session {session_id!r} is {status} and takes no messages: resume a paused session, or create another after an end"
    session_id: str
    status: str


class DecryptionError(SessionsError):
    """A stored value cannot be decrypted: its key is not in the ring, or the value was changed, cut, or put elsewhere."""

    template = "a value of {session_id!r} cannot be decrypted: {detail}"
    session_id: str
    detail: str


class CodecMissing(SessionsError):
    """A stored value went through a codec that this cache does not have. Nothing was changed."""

    template = (
        "a value of {session_id!r} went through codec {codec!r}, which this cache does not have:"
        " pass the codec to `codecs`"
    )
    session_id: str
    codec: str
    """The letter of the codec, with what the codec itself lacks: 'z' for zstd, 'a' for AES-GCM."""


class InvalidTransition(SessionsError):
    """The session has ended with another status. An end is final."""

    reply = ("status", "wanted")
    template = "session {session_id!r} is {status} and cannot become {wanted}, because an end is final"
    session_id: str
    status: str
    wanted: str


class SessionLocked(SessionsError):
    """Another worker holds the session's lease, for `left_ms` unless it is renewed."""

    reply = ("holder", "fence", "left_ms")
    template = (
        "session {session_id!r} is locked: {holder} holds the lease (fence {fence}) for {left_ms} ms unless it is renewed."
        " Wait longer for the lease, send() to the inbox, or write with lease.session if the lease is yours"
    )
    session_id: str
    holder: str
    fence: int
    left_ms: int


class LeaseLost(SessionsError):
    """The caller does not hold the lease: it was released, ran out, or another worker holds it. Nothing was written."""

    reply = ("fence", "holder")
    template = "the lease on session {session_id!r} is not held: {detail}. Nothing was written"
    session_id: str
    fence: int
    """The highest fence that was granted."""
    holder: str
    detail: str

    @classmethod
    def from_reply(cls, session_id: str, words: list[str]) -> Self:
        """Return the error with the present holder."""
        fence, holder = int(words[0]), words[1]
        detail = "it was released or ran out" if holder == "-" else f"{holder} holds it with fence {fence}"
        return cls(session_id=session_id, fence=fence, holder=holder, detail=detail)


class RevisionConflict(SessionsError):
    """The session changed since the caller read it. `rev` is the current revision."""

    reply = ("rev",)
    template = "session {session_id!r} is at revision {rev}, not at the expected one: read it again, then retry"
    session_id: str
    rev: int


class SessionRegressed(SessionsError):
    """The server knows fewer messages than it acknowledged, because a failover lost writes."""

    reply = ("known", "seen")
    template = (
        "session {session_id!r} ends at seq {known}, but seq {seen} was acknowledged before: the server lost writes,"
        " probably in a failover. Open the session again and append what is missing"
    )
    session_id: str
    known: int
    """The highest seq that the server knows."""
    seen: int
    """The highest seq that the server acknowledged."""


class LimitExceeded(SessionsError):
    """The write would exceed a limit of the session. Nothing was written."""

    reply = ("limit", "current", "max", "action")
    template = "session {session_id!r} would exceed its limit of {limit}: {current}, at most {max}"
    session_id: str
    limit: str
    """turns, entries, duration (ms), pinned, inbox, token_budget, cost_budget, published_bytes, usage, gap_bytes (edits),
    max_active or max_children (retry), or a bound of the cache."""
    current: int
    max: int
    action: str
    """error, or end_session when the refusal ended the session."""


class BoundExceeded(LimitExceeded):
    """The write would exceed a bound of the cache on what is stored. Nothing was written."""

    reply = ("limit", "current", "max", "action")
    template = (
        "{limit} of {session_id!r} would be {current}, and the bound is {max}: store less, or give the cache"
        " bounds=StorageBounds({limit}=…)"
    )

    @classmethod
    def from_reply(cls, session_id: str, words: list[str]) -> Self:
        """Return the error of a bound, whose words have no action: it never ends a session."""
        limit, current, maximum = words
        return cls(session_id=session_id, limit=limit, current=int(current), max=int(maximum), action="error")


class MessageTooLarge(SessionsError):
    """A message is larger than the session's `max_message_bytes`."""

    reply = ("size", "max")
    template = (
        "a message of {size} bytes exceeds max_message_bytes ({max}) of session {session_id!r}:"
        " store the large part as a document, or raise the option with patch()"
    )
    session_id: str
    size: int
    max: int


class MessageNotFound(SessionsError):
    """The session retains no message with this seq."""

    reply = ("seq",)
    template = (
        "session {session_id!r} retains no message with seq {seq}:"
        " the cap or an edit removed it, or no message ever had this seq"
    )
    session_id: str
    seq: int


class NotAnInteger(SessionsError):
    """`state.add` met a value that is not a whole number within ±(2^53 - 1), or the sum would leave that range."""

    reply = ("field",)
    template = (
        "{field!r} of session {session_id!r} must be a whole number within ±(2^53 - 1), before and after the addition"
    )
    session_id: str
    field: str


class CompactionConflict(SessionsError):
    """The range of messages cannot be compacted: it moved, ends in a pinned message, or ends inside a group."""

    reply = ("reason", "first", "last", "first_seq", "last_seq", "before", "after")
    template = (
        "seqs {first} to {last} of session {session_id!r} cannot be compacted: {detail}. Seqs {first_seq} to {last_seq} are"
        " retained; the nearest groups end with seq {before} and {after} (0 for none)"
    )
    session_id: str
    reason: str
    """moved, beyond_end, dropped, pinned or in_group."""
    first: int
    last: int
    first_seq: int
    last_seq: int
    before: int
    """The nearest lower seq that a range may end with, or 0."""
    after: int
    """The nearest higher seq that a range may end with, or 0."""
    detail: str

    @classmethod
    def from_reply(cls, session_id: str, words: list[str]) -> Self:
        """Return the error with an explanation of its reason."""
        detail = {
            "moved": "the range does not begin at the first retained message",
            "beyond_end": "the last message of the range was never appended",
            "dropped": "the last message of the range is not retained any more",
            "pinned": "the last message of the range is pinned",
            "in_group": "the range ends between a tool call and its result",
        }[words[0]]
        facts: dict[str, Any] = dict(zip(cls.reply, [words[0], *map(int, words[1:])], strict=True))
        return cls(session_id=session_id, detail=detail, **facts)


class EditConflict(SessionsError):
    """Messages cannot be edited, or copied into a fork, at this seq. Nothing was written."""

    reply = ("reason", "seq", "last_seq", "before", "after")
    template = "seq {seq} of session {session_id!r} cannot be the place of this edit: {detail}"
    session_id: str
    reason: str
    """beyond_end, moved, other_calls, dropped or in_group."""
    seq: int
    last_seq: int
    """The highest seq of the session."""
    before: int
    """For in_group: the nearest lower seq with which a group ends, or 0."""
    after: int
    """For in_group: the nearest higher seq with which a group ends, or 0."""
    detail: str

    @classmethod
    def from_reply(cls, session_id: str, words: list[str]) -> Self:
        """Return the error with an explanation of its reason."""
        seq, last_seq, before, after = map(int, words[1:])
        detail = {
            "beyond_end": f"the highest seq is {last_seq}",
            "moved": f"other messages came or left, and the highest seq is {last_seq}. Read the session again, then retry",
            "other_calls": "the new message must have the role of the old one, and make and answer the same tool calls",
            "dropped": "the message is not retained any more",
            "in_group": f"a tool call stands on one side and its results on the other. The nearest groups end with"
            f" seq {before} and {after} (0 for none)",
        }[words[0]]
        facts = {"reason": words[0], "seq": seq, "last_seq": last_seq, "before": before, "after": after}
        return cls(session_id=session_id, detail=detail, **facts)


class OperationConflict(SessionsError):
    """The batch ID belongs to an operation of another kind on this session. Nothing was written."""

    reply = ("batch_id", "kind")
    template = (
        "batch ID {batch_id!r} was used for {used_for!r} already, and this is {kind!r}: use a new ID for each operation"
    )
    batch_id: str
    kind: str
    """The operation that was refused: append, send, spawn, add, replace, replace_message, pop, clear, compact, …"""
    used_for: str
    """The operation that has the ID."""

    @classmethod
    def from_reply(cls, session_id: str, words: list[str]) -> Self:
        """Return the error for the words '<batch ID> <kind> <kind that is recorded>'."""
        return cls.of(*words)

    @classmethod
    def of(cls, batch_id: str, kind: str, used_for: str) -> Self:
        """Return the error for two kinds as results record them: 'queued' is a send, 'spawned' a spawn, 'add:<hash>' a sum."""
        names = {"queued": "send", "spawned": "spawn"}
        if kind != used_for and kind.partition(":")[0] == used_for.partition(":")[0]:
            used_for = "add of another name"
        kind, used_for = (names.get(one, one.partition(":")[0]) for one in (kind, used_for))
        return cls(batch_id=batch_id, kind=kind, used_for=used_for)


class StateConflict(SessionsError):
    """A value of the state is not the one that `if_state` names, or an import would replace the system prompt.

    Nothing was written.
    """

    reply = ("field",)
    template = "{name!r} {detail}"
    session_id: str
    name: str
    """The name in the state, or `system_prompt`."""
    detail: str

    @classmethod
    def from_reply(cls, session_id: str, words: list[str]) -> Self:
        """Return the error with the name in the state."""
        field = " ".join(words)
        name = field.removeprefix("state.")
        detail = f"in the state of session {session_id!r} has another value than if_state names: read it, then retry"
        if field == "system":
            name, detail = "system_prompt", f"of session {session_id!r} is set, and the messages begin with another one"
            detail += ": leave it out of the messages, or unset the session's with patch(system_prompt=None)"
        return cls(session_id=session_id, name=name, detail=detail)
