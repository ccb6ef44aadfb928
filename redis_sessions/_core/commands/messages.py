"""Calls that append, read, pin and remove messages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, NamedTuple, TypeAlias

from pydantic import BaseModel

from ..._durations import whole
from ...errors import InvalidInput
from ...models.limits import LimitCheck
from ...models.messages import KIND_OF_ROLE, KIND_OF_TYPE, KINDS, Message
from ...models.results import AppendResult
from ...models.turns import Turn
from ...settings import TokenCounter
from ..protocol.call import Call, invoke
from ..protocol.codec import decode, encode
from ..protocol.ids import check_id, new_operation_id
from ..protocol.keys import SessionKeys
from ..protocol.scripts import script
from .guarded_write import expected_argument, guarded_write, new_rev, result_number

MessageLike: TypeAlias = Message | dict[str, Any] | BaseModel
PAGE = 1000
"""Messages of one page of the history."""
MAX_SCANNED_MESSAGES = 100_000
"""Messages that one filtered read looks at. The rest is read with the next call."""
MAX_BATCH_MESSAGES = 10_000
WINDOW_KINDS = "".join(kind for kind in KINDS if kind not in "sve")
"""The kinds of messages that a window for a model contains."""
_OK = LimitCheck("ok")
_APPEND = script("messages/append")


def append(
    keys: SessionKeys,
    incarnation: str,
    lease: str,
    messages: Iterable[MessageLike],
    count: TokenCounter,
    *,
    batch_id: str | None = None,
    expected_rev: int | None = None,
    seen: int = 0,
) -> Call[tuple[AppendResult, str]]:
    """Append one batch. The result is its place, and the incarnation that took it. Raises InvalidInput."""
    batch = new_operation_id() if batch_id is None else check_id(batch_id, "batch_id", 128)
    entries = [encode(message, batch, count) for message in messages]
    if not 1 <= len(entries) <= MAX_BATCH_MESSAGES:
        raise InvalidInput(
            name="messages", detail=f"a batch must have 1 to {MAX_BATCH_MESSAGES} messages, got {len(entries)}"
        )

    def read(reply: Any) -> tuple[AppendResult, str]:
        if b" queued " in reply or b" spawned " in reply:
            raise InvalidInput(name="batch_id", detail=f"{batch!r} was used for a send or a spawn already")
        found, duplicate, first, last, rev, retained, dropped, *state = reply.split()
        limit = _OK if state == [b"ok"] else LimitCheck.parse(b" ".join(state).decode())
        result = AppendResult(
            int(first), int(last), int(rev), int(retained), int(dropped), limit, duplicate == b"1", batch
        )
        return result, found.decode()

    return invoke(
        _APPEND,
        keys,
        read,
        incarnation=incarnation,
        operation_id=batch,
        lease=lease,
        expected_rev="" if expected_rev is None else expected_argument(expected_rev),
        seen=seen,
        elapsed_ms="",
        rest=entries,
        operation=batch,
    )


class Page(NamedTuple):
    """Messages in order, and where to go on."""

    messages: list[Message]
    below: int
    """The seq to go on below. 0 when there is nothing older."""
    last_seq: int
    """The highest seq of the session."""
    system_prompt: str | None = None


def read(
    keys: SessionKeys, incarnation: str, *, limit: int, after: int = 0, below: int = 0, extend: bool = False
) -> Call[Page]:
    """Read the newest messages of a range, oldest first."""

    def page(reply: Any) -> Page:
        found, last, _, low, listed, seqs, pinned = reply
        incarnation = found.decode()
        messages = [decode(element, low + at, incarnation) for at, element in enumerate(listed)]
        if seqs:
            beside = [decode(element, int(seq), incarnation) for seq, element in zip(seqs, pinned, strict=True)]
            messages = beside + messages
        return Page(messages, messages[0].seq if len(messages) == limit else 0, last)

    return invoke(
        script("messages/read"), keys, page, incarnation=incarnation, after=after, below=below, limit=limit,
        extend=int(extend), writes=False,
    )  # fmt: skip


def read_filtered(
    keys: SessionKeys,
    incarnation: str,
    *,
    kinds: str,
    limit: int = -1,
    after: int = 0,
    below: int = 0,
    budget: int | str = "",
) -> Call[Page]:
    """Read the newest messages of some kinds, within a token budget if there is one, oldest first."""

    def page(reply: Any) -> Page:
        found, last, system, next_below, seqs, elements = reply
        incarnation = found.decode()
        messages = [decode(element, seq, incarnation) for seq, element in zip(seqs, elements, strict=True)]
        if len(messages) == limit:
            next_below = messages[-1].seq
        return Page(messages[::-1], next_below, last, system.decode() or None)

    return invoke(
        script("messages/read_filtered"), keys, page, incarnation=incarnation, after=after, below=below, limit=limit,
        kinds=kinds, budget=budget, max_scanned=MAX_SCANNED_MESSAGES, writes=False,
    )  # fmt: skip


def turn(keys: SessionKeys, incarnation: str, number: int) -> Call[Turn | None]:
    """Read one turn by its number, 0 for the last. None when there is none, or the cap dropped its user message."""

    def read_turn(reply: Any) -> Turn | None:
        found, _, number, first, elements = reply
        if not number:
            return None
        return Turn(number, [decode(element, first + at, found.decode()) for at, element in enumerate(elements)])

    return invoke(
        script("messages/read_turn"), keys, read_turn, incarnation=incarnation, number=number,
        max_scanned=MAX_SCANNED_MESSAGES, writes=False,
    )  # fmt: skip


class SessionPosition(NamedTuple):
    """The incarnation of a session and its highest seq."""

    incarnation: str
    last_seq: int


def subscribe(
    keys: SessionKeys,
    incarnation: str,
    nonce: str,
    wait_ms: int,
    channel: str,
    counts_receivers: bool,
    purpose: Literal["message", "watch"],
) -> Call[SessionPosition]:
    """Register this process for the session's next message, or for everything that happens, for `wait_ms`. 0 ends that."""
    return invoke(
        script("messages/subscribe"),
        keys,
        lambda reply: SessionPosition(reply[0].decode(), int(reply[1])),
        incarnation=incarnation,
        nonce=nonce,
        wait_ms=wait_ms,
        counts_receivers=int(counts_receivers),
        channel=channel,
        purpose=purpose,
    )


def find_reply(messages: list[Message], batch_id: str | None) -> Message | None:
    """Return the first assistant message without tool calls, behind the message with a batch ID if one is given."""
    batches = [message.batch_id for message in messages]
    if batch_id is not None and batch_id not in batches:
        return None
    start = 0 if batch_id is None else batches.index(batch_id) + 1
    replies = (one for one in messages[start:] if one.role == "assistant" and not one.payload.get("tool_calls"))
    return next(replies, None)


def pin(
    keys: SessionKeys, incarnation: str, lease: str, seq: int, pinned: bool, *, expected_rev: int | None = None
) -> Call[int]:
    """Pin or unpin a message. The result is the new revision."""
    return guarded_write(
        script("messages/pin"), keys, incarnation, lease, expected_rev, new_rev,
        seq=whole(seq, "seq", minimum=1), pinned=int(pinned),
    )  # fmt: skip


def clear(keys: SessionKeys, incarnation: str, lease: str, *, expected_rev: int | None = None) -> Call[int]:
    """Remove all messages. The result is the new revision."""
    return guarded_write(script("messages/clear"), keys, incarnation, lease, expected_rev, new_rev)


def compact(
    keys: SessionKeys, incarnation: str, lease: str, first: int, last: int, summary: str, count: TokenCounter
) -> Call[int]:
    """Replace a range by a summary. The result is the seq that the range began with."""
    if not isinstance(summary, str) or not summary:
        raise InvalidInput(name="summary", detail=f"must be text of at least one character, got {summary!r}")
    facts = {"to_seq": last, **({"from_seq": first} if first else {})}
    payload = {"role": "user", "content": summary, "metadata": {"compaction": facts}}
    entry = encode(payload, new_operation_id(), count)
    return guarded_write(
        script("messages/compact"), keys, incarnation, lease, None, result_number,
        first=first, last=last, entry=entry, size=len(entry.split(b" ", 2)[2]),
    )  # fmt: skip


def kinds_of(role: str | None, include_tools: bool) -> str:
    """Return the kind letters that a role or an entry type selects. All of them for None. Raises InvalidInput."""
    if role is None:
        chosen = "".join(KINDS)
    elif role in KIND_OF_ROLE:
        chosen = "".join(kind for kind, (its_role, _) in KINDS.items() if its_role == role)
    elif role in KIND_OF_TYPE:
        chosen = KIND_OF_TYPE[role]
    else:
        names = ", ".join([*KIND_OF_ROLE, *KIND_OF_TYPE])
        raise InvalidInput(name="role", detail=f"must be one of {names}, got {role!r}")
    return chosen if include_tools else chosen.replace("t", "").replace("c", "")


def fit_window(
    prompt: Message | None, newest_first: Iterable[Message], budget: int, count: TokenCounter
) -> list[Message]:
    """Return the window that a caller's counter allows: the prompt, then the newest messages that fit, in order."""
    left = budget - (count(prompt.payload) if prompt else 0)
    chosen: list[Message] = []
    for message in newest_first:
        left -= count(message.payload)
        if left < 0:
            break
        chosen.append(message)
    return [*([prompt] if prompt else []), *reversed(chosen)]
