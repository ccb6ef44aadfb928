"""The packed records of a session's hash, parsed. `record_schema.py` says what each word means."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

Bytes: TypeAlias = bytes
"""The type, for classes that have a field `bytes`."""


class Counters(NamedTuple):
    """The session's counters."""

    last_seq: int
    rev: int
    dropped: int
    bytes: int
    tokens: int
    user_messages: int
    assistant_messages: int
    turns: int
    pending_turn: int
    user_seq: int
    updated_us: int
    operations: int
    plain_after: int

    @classmethod
    def parse(cls, text: Bytes) -> Counters:
        """Read the record. Raises ValueError when it is damaged."""
        last_seq, count, bytes, tokens, users, assistants, turns, pending_turn, user_back, updated, *rest = text.split()
        rev_ahead, operations_ahead, plain_after = map(int, rest)
        last = int(last_seq)
        return cls(
            last, last + rev_ahead, last - int(count), int(bytes), int(tokens), int(users), int(assistants), int(turns),
            int(pending_turn), last - int(user_back), int(updated, 16), last + rev_ahead + operations_ahead, plain_after,
        )  # fmt: skip

    def __str__(self) -> str:
        return join_words(
            self.last_seq, self.last_seq - self.dropped, self.bytes, self.tokens, self.user_messages,
            self.assistant_messages, self.turns, self.pending_turn, self.last_seq - self.user_seq,
            f"{self.updated_us:x}", self.rev - self.last_seq, self.operations - self.rev, self.plain_after,
        )  # fmt: skip


class Layout(NamedTuple):
    """The layout of a transcript that is more than a plain list of complete messages."""

    open: str
    group: int
    marks: str
    kept: int
    task: int
    gaps: list[tuple[int, int]]

    @classmethod
    def parse(cls, text: bytes | None) -> Layout:
        """Read the record. No record means a plain list. Raises ValueError when it is damaged."""
        open, group, marks, kept, task, gaps = (text or b"- 0 - 0 0 -").decode().split(" ")
        return cls(open, int(group), marks, int(kept), int(task), parse_gaps("" if gaps == "-" else gaps))


class Settings(NamedTuple):
    """The settings that every write needs."""

    max_messages: int
    cap_policy: str
    max_message_bytes: int
    ttl_ms: int
    deadline_ms: int | None

    @classmethod
    def parse(cls, text: bytes) -> Settings:
        """Read the record. Raises ValueError when it is damaged."""
        max_messages, cap_policy, max_message_bytes, ttl_ms, deadline_ms = text.decode().split(" ")
        return cls(int(max_messages), cap_policy, int(max_message_bytes), int(ttl_ms), optional_number(deadline_ms))


class Limits(NamedTuple):
    """The session's limits. None switches a limit off."""

    max_turns: int | None
    max_entries: int | None
    max_duration_ms: int | None
    action: str

    @classmethod
    def parse(cls, text: bytes | None) -> Limits:
        """Read the record. No record means no limits. Raises ValueError when it is damaged."""
        *limits, action = (text or b"- - - error").decode().split(" ")
        return cls(*map(optional_number, limits), action)  # type: ignore[call-arg,arg-type]

    def __str__(self) -> str:
        return join_words(*self)


class LeaseRecord(NamedTuple):
    """The last grant of a session's lease."""

    fence: int
    nonce: str
    deadline_ms: int
    since_ms: int
    counts_receivers: str
    channel: str
    owner: str

    @property
    def has_holder(self) -> bool:
        """True if the last grant was not given back. Its time can be over."""
        return self.nonce not in ("-", "+")

    @classmethod
    def parse(cls, text: bytes | None) -> LeaseRecord:
        """Read the record. No record means that the lease was never granted. Raises ValueError when it is damaged."""
        fence, nonce, deadline_ms, since_ms, *rest = (text or b"0 - 0 0 0 - -").decode().split(" ", 6)
        return cls(int(fence), nonce, int(deadline_ms), int(since_ms), *rest)


class Waiter(NamedTuple):
    """A waiter of any kind."""

    nonce: str
    until_ms: int
    counts_receivers: str
    channel: str
    detail: str

    @classmethod
    def parse_all(cls, text: bytes | None) -> list[Waiter]:
        """Read all records of a field. Raises ValueError when one is damaged."""
        lines = [line.split(" ", 4) for line in lines_of(text)]
        return [
            cls(nonce, int(until), receivers, channel, detail) for nonce, until, receivers, channel, detail in lines
        ]


class Lineage(NamedTuple):
    """The place of a child in its tree."""

    number: int
    root_incarnation: str
    path: str
    id: str
    ancestors: list[str]

    @classmethod
    def parse(cls, text: bytes) -> Lineage:
        """Read the record. Raises ValueError when it is damaged."""
        number, root_incarnation, path, id, parent, *others = text.decode().split(" ")
        return cls(int(number), root_incarnation, path, id, [parent, *others])


class RunRecord(NamedTuple):
    """The work of a session: its run, or its turns."""

    attempts: int
    max_attempts: int | None
    deadline_ms: int | None
    limit_ms: int | None
    timeout_ms: int
    available_ms: int
    fence: int
    turn: int | None
    retries: int
    has_died: bool

    @classmethod
    def parse(cls, text: bytes) -> RunRecord:
        """Read the record. Raises ValueError when it is damaged."""
        attempts, max_attempts, deadline, limit, timeout, available, fence, turn, retries, died = text.decode().split(
            " "
        )
        return cls(
            int(attempts), optional_number(max_attempts), optional_number(deadline), optional_number(limit), int(timeout),
            int(available), int(fence), optional_number(turn), int(retries), died == "1",
        )  # fmt: skip


class SpawnCounts(NamedTuple):
    """The number of sessions that were ever spawned, and of those that are active."""

    total: int
    active: int

    @classmethod
    def parse(cls, text: bytes | None) -> SpawnCounts:
        """Read the record. No record means none. Raises ValueError when it is damaged."""
        return cls._make(map(int, (text or b"0 0").split()))


class MemberRecord(NamedTuple):
    """A tree's record of one spawned session."""

    id: str
    parent: int
    status: str
    on_parent_end: str
    incarnation: str
    reference: str

    @classmethod
    def parse(cls, text: str) -> MemberRecord:
        """Read the record. Raises ValueError when it is damaged."""
        id, parent, status, on_parent_end, incarnation, reference = text.split(" ", 5)
        return cls(id, int(parent), status, on_parent_end, incarnation, reference)


class LoopRecord(NamedTuple):
    """A loop of the ledger."""

    status: str
    created: str
    started: str
    finished: str
    events: int
    turns: int
    steps: int
    usage: str

    @classmethod
    def parse(cls, text: str) -> LoopRecord:
        """Read the record. Raises ValueError when it is damaged."""
        status, created, started, finished, events, turns, steps, usage = text.split(" ", 7)
        return cls(status, created, started, finished, int(events), int(turns), int(steps), usage)


class PartRecord(NamedTuple):
    """A part of a session."""

    number: int
    first_seq: int
    last_seq: int
    bytes: int
    created_ms: int
    updated_ms: int

    @classmethod
    def parse(cls, text: Bytes) -> PartRecord:
        """Read the record. Raises ValueError when it is damaged."""
        number, first_seq, last_seq, size, created_ms, updated_ms = map(int, text.split())
        return cls(number, first_seq, last_seq, size, created_ms, updated_ms)


class PartTotals(NamedTuple):
    """All parts of a session."""

    numbers: int
    parts: int
    messages: int
    bytes: int
    ids: int

    @classmethod
    def parse(cls, text: Bytes) -> PartTotals:
        """Read the record. Raises ValueError when it is damaged."""
        numbers, parts, messages, size, ids = map(int, text.split())
        return cls(numbers, parts, messages, size, ids)


class StatusChange(NamedTuple):
    """One change of a session's status."""

    number: int
    last_seq: int
    at_ms: int
    status: str

    @classmethod
    def parse(cls, text: str) -> StatusChange:
        """Read one record of the status log. Raises ValueError when it is damaged."""
        number, last_seq, at_ms, status = text.split(" ")
        return cls(int(number), int(last_seq), int(at_ms), status)


class Budget(NamedTuple):
    """The budget of a session and of all its descendants."""

    tokens: int | None
    cost: int | None
    enforcement: str

    @classmethod
    def parse(cls, text: bytes | None) -> Budget:
        """Read the record. No record means no budget. Raises ValueError when it is damaged."""
        tokens, cost, enforcement = (text or b"- - spawn").decode().split(" ")
        return cls(optional_number(tokens), optional_number(cost), enforcement)


class Spent(NamedTuple):
    """The recorded usage of a session and of all its descendants, which a budget bounds."""

    tokens: int
    cost: int

    @classmethod
    def parse(cls, text: bytes | None) -> Spent:
        """Read the record. No record means that nothing is recorded. Raises ValueError when it is damaged."""
        tokens, cost = (text or b"0 0").split()
        return cls(int(tokens), int(cost))


def lines_of(text: bytes | None) -> list[str]:
    """Return the lines of a field, each of which ends with a newline. `splitlines` would also cut at U+2028 and others.

    Raises ValueError when the last line is cut.
    """
    *lines, rest = (text or b"").decode().split("\n")
    if rest:
        raise ValueError("the last line is cut")
    return lines


def parse_gaps(text: str) -> list[tuple[int, int]]:
    """Return the ranges of removed seqs from '<first>-<last>,…'. Raises ValueError when it is damaged."""
    return [(int(first), int(last)) for first, last in (part.split("-") for part in text.split(",") if part)]


def seqs_from(first: int, count: int, gaps: list[tuple[int, int]]) -> list[int]:
    """Return the seqs of `count` messages that follow each other in the list, from the first one's on."""
    seqs, seq = list[int](), first
    for gap_first, gap_last in (gap for gap in gaps if gap[1] >= first):
        seqs += range(seq, min(gap_first, seq + count - len(seqs)))
        if len(seqs) == count:
            return seqs
        seq = gap_last + 1
    return [*seqs, *range(seq, seq + count - len(seqs))]


def inbox_size(text: bytes | None) -> int:
    """Return how many messages wait in an inbox, from its record '<first> <last> <results>'."""
    first, last, _ = (text or b"1 0 0").split()
    return int(last) - int(first) + 1


def optional_number(word: str) -> int | None:
    """Return the number of a word, or None for '-'."""
    return None if word == "-" else int(word)


def join_words(*values: int | str | None) -> str:
    """Return a record of words: '-' for None."""
    return " ".join("-" if value is None else str(value) for value in values)
