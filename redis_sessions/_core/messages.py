"""Messages: the calls that append, read, select, pin and clear, and the reading of their replies."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from pydantic import BaseModel

from ..errors import InvalidInput
from ..models.limits import LimitCheck
from ..models.messages import KIND_OF_ROLE, KIND_OF_TYPE, KINDS, Message
from ..models.results import AppendResult, SendResult
from ..models.turns import Turn
from .calls import Call, invoke
from .codec import TokenCounter, decode, encode
from .ids import check_id, new_operation_id
from .keys import SessionKeys
from .scripts import script
from .sessions import change, changed, revision
from .units import whole

PAGE = 1000
SCAN = 100_000
MOST_IN_BATCH = 10_000
_OK = LimitCheck("ok")
_APPEND = script("messages/append")


def append(
    keys: SessionKeys,
    life: str,
    lease: str,
    messages: Iterable[Message | dict[str, Any] | BaseModel],
    count: TokenCounter,
    *,
    batch_id: str | None = None,
    expected_rev: int | None = None,
    seen: int = 0,
) -> Call[tuple[AppendResult, str]]:
    """One batch; reads as its result and the life that took it. Without a batch id it is given one."""
    batch = new_operation_id() if batch_id is None else check_id(batch_id, "batch_id", 128)
    entries = [encode(message, batch, count) for message in messages]
    if not 1 <= len(entries) <= MOST_IN_BATCH:
        raise InvalidInput(name="messages", detail=f"{len(entries)} given; a batch is 1 to {MOST_IN_BATCH} messages")

    def read(reply: Any) -> tuple[AppendResult, str]:
        if b" queued " in reply or b" spawned " in reply:
            raise InvalidInput(
                name="batch_id", detail=f"{batch!r} was used for a message that waits or waited, or a spawn"
            )
        life, duplicate, first, last, rev, retained, dropped, *state = reply.split()
        limit = _OK if state == [b"ok"] else LimitCheck.parse(b" ".join(state).decode())
        result = AppendResult(
            int(first), int(last), int(rev), int(retained), int(dropped), limit, duplicate == b"1", batch
        )
        return result, life.decode()

    return invoke(
        _APPEND,
        keys,
        read,
        life=life,
        batch=batch,
        lease=lease,
        expected="" if expected_rev is None else revision(expected_rev),
        seen=seen,
        elapsed="",
        rest=entries,
        operation=batch,
    )


def send(
    keys: SessionKeys,
    life: str,
    lease: str,
    message: Message | dict[str, Any] | BaseModel,
    count: TokenCounter,
    batch_id: str | None,
) -> Call[tuple[SendResult, str]]:
    """One message, for the transcript or the inbox; reads as its result and the life that took it."""
    batch = new_operation_id() if batch_id is None else check_id(batch_id, "batch_id", 128)
    if isinstance(message, Message) and message.pinned:
        raise InvalidInput(name="message", detail="what is sent cannot be pinned; pin it when it is in the transcript")

    def read(reply: Any) -> tuple[SendResult, str]:
        life, duplicate, *words = reply.split()
        if words[0] == b"spawned":
            raise InvalidInput(name="batch_id", detail=f"{batch!r} was used for a spawn")
        if words[0] == b"queued":
            result = SendResult(None, int(words[1]), duplicate == b"1", batch)
        else:
            result = SendResult(int(words[1]), 0, duplicate == b"1", batch)
        return result, life.decode()

    return invoke(
        script("messages/send"),
        keys,
        read,
        life=life,
        batch=batch,
        lease=lease,
        elapsed="",
        entry=encode(message, batch, count),
        operation=batch,
    )


def receive(keys: SessionKeys, life: str, lease: str) -> Call[list[Message]]:
    """Reads as the messages that were taken in."""

    def read(reply: Any) -> list[Message]:
        owner, first, elements = reply
        return [decode(element, first + at, owner.decode()) for at, element in enumerate(elements)]

    return invoke(script("messages/receive"), keys, read, life=life, batch=new_operation_id(), lease=lease)


class Page(NamedTuple):
    """Messages in order, and the seq to read on below; 0 when there is nothing older."""

    messages: list[Message]
    below: int
    last_seq: int
    system_prompt: str | None = None


def read(
    keys: SessionKeys, life: str, *, limit: int, after: int = 0, below: int = 0, slide: bool = False
) -> Call[Page]:
    """The newest messages of a range, oldest first."""

    def page(reply: Any) -> Page:
        found_life, last, _, low, listed, seqs, aside = reply
        owner = found_life.decode()
        messages = [decode(element, low + at, owner) for at, element in enumerate(listed)]
        if seqs:
            messages = [decode(element, int(seq), owner) for seq, element in zip(seqs, aside, strict=True)] + messages
        return Page(messages, messages[0].seq if len(messages) == limit else 0, last)

    return invoke(
        script("messages/read"), keys, page, life=life, after=after, below=below, limit=limit, slide=int(slide),
        writes=False,
    )  # fmt: skip


def select(
    keys: SessionKeys,
    life: str,
    *,
    kinds: str,
    limit: int = -1,
    after: int = 0,
    below: int = 0,
    budget: int | str = "",
) -> Call[Page]:
    """The newest messages of some kinds, within a token budget if one is given, oldest first."""

    def page(reply: Any) -> Page:
        found_life, last, system, next_below, seqs, found = reply
        owner = found_life.decode()
        messages = [decode(element, seq, owner) for seq, element in zip(seqs, found, strict=True)]
        if len(messages) == limit:
            next_below = messages[-1].seq
        return Page(messages[::-1], next_below, last, system.decode() or None)

    return invoke(
        script("messages/select"), keys, page, life=life, after=after, below=below, limit=limit, kinds=kinds,
        budget=budget, scan=SCAN, writes=False,
    )  # fmt: skip


def turn(keys: SessionKeys, life: str, number: int) -> Call[Turn | None]:
    """One turn by its number, 0 for the last; None when it is not there or the cap dropped its user message."""

    def read_turn(reply: Any) -> Turn | None:
        owner, _, found, first, elements = reply
        if not found:
            return None
        return Turn(found, [decode(element, first + at, owner.decode()) for at, element in enumerate(elements)])

    return invoke(script("messages/turn"), keys, read_turn, life=life, number=number, scan=SCAN, writes=False)


class Reached(NamedTuple):
    """How far a session has come."""

    life: str
    last: int


def expect(keys: SessionKeys, life: str, nonce: str, wait_ms: int, channel: str, counted: bool) -> Call[Reached]:
    """Notes who is to be told of the next message, for so long."""
    return invoke(
        script("messages/expect"),
        keys,
        lambda reply: Reached(reply[0].decode(), int(reply[1])),
        life=life,
        nonce=nonce,
        wait=wait_ms,
        counted=int(counted),
        channel=channel,
    )


def reply_to(messages: list[Message], batch_id: str | None) -> Message | None:
    """The first answer of the assistant's that calls no tool; after the message sent under a batch id, if one is given."""
    batches = [message.batch_id for message in messages]
    if batch_id is not None and batch_id not in batches:
        return None
    start = 0 if batch_id is None else batches.index(batch_id) + 1
    answers = (one for one in messages[start:] if one.role == "assistant" and not one.payload.get("tool_calls"))
    return next(answers, None)


def pin(
    keys: SessionKeys, life: str, lease: str, seq: int, pinned: bool, *, expected_rev: int | None = None
) -> Call[int]:
    """Reads as the rev."""
    return change(
        script("messages/pin"),
        keys,
        life,
        lease,
        expected_rev,
        changed,
        seq=whole(seq, "seq", least=1),
        pinned=int(pinned),
    )


def clear(keys: SessionKeys, life: str, lease: str, *, expected_rev: int | None = None) -> Call[int]:
    """Reads as the rev."""
    return change(
        script("messages/clear"),
        keys,
        life,
        lease,
        expected_rev,
        changed,
    )


def compact(
    keys: SessionKeys, life: str, lease: str, first: int, last: int, summary: str, count: TokenCounter
) -> Call[int]:
    """Reads as the seq that the range began with."""
    facts = {"to_seq": last, **({"from_seq": first} if first else {})}
    payload = {"role": "user", "content": summary, "metadata": {"compaction": facts}}
    if not isinstance(summary, str) or not summary:
        raise InvalidInput(name="summary", detail=f"{summary!r} is no text")
    entry = encode(payload, new_operation_id(), count)
    return change(
        script("messages/compact"),
        keys,
        life,
        lease,
        None,
        lambda reply: int(reply[1].split()[1]),
        first=first,
        last=last,
        entry=entry,
        size=len(entry.split(b" ", 2)[2]),
    )


def kinds_of(role: str | None, include_tools: bool) -> str:
    """The kind letters that a role or an entry type selects; all of them for None."""
    if role is None:
        chosen = "".join(KINDS)
    elif role in KIND_OF_ROLE:
        chosen = "".join(kind for kind, (its_role, _) in KINDS.items() if its_role == role)
    elif role in KIND_OF_TYPE:
        chosen = KIND_OF_TYPE[role]
    else:
        names = ", ".join([*KIND_OF_ROLE, *KIND_OF_TYPE])
        raise InvalidInput(name="role", detail=f"{role!r} is none of {names}")
    return chosen if include_tools else chosen.replace("t", "").replace("c", "")


def fitting(prompt: Message | None, newest_first: Iterable[Message], budget: int, count: TokenCounter) -> list[Message]:
    """The context window for a counter of the caller's: the prompt, then the newest that fit, in order."""
    room = budget - (count(prompt.payload) if prompt else 0)
    chosen: list[Message] = []
    for message in newest_first:
        room -= count(message.payload)
        if room < 0:
            break
        chosen.append(message)
    return [*([prompt] if prompt else []), *reversed(chosen)]
