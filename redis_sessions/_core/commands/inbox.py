"""Calls on a session's inbox: send a message to the session, append messages that ask for an answer, and drain the inbox."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from ...bounds import StorageBounds
from ...errors import InvalidInput
from ...models.messages import Message
from ...models.results import AppendResult, SendResult
from ...settings import TokenCounter
from ..protocol.call import Argument, Call, invoke
from ..protocol.codec import decode, encode
from ..protocol.ids import new_operation_id
from ..protocol.keys import AgentKeys, SessionKeys
from ..protocol.scripts import script
from .messages import MessageLike
from .recorded_results import APPEND, words_of
from .run_queues import queue_keys

T = TypeVar("T")


class Sent(NamedTuple):
    """The outcome of a send."""

    result: SendResult
    incarnation: str
    lease_left_ms: int
    """Time until the lease runs out under which the message waits, or 0."""


def send(
    keys: SessionKeys,
    incarnation: str,
    lease: str,
    message: MessageLike,
    counter: TokenCounter,
    batch: str,
    agent: str,
    queue: AgentKeys | None,
    bounds: StorageBounds,
    *,
    knows_format: bool,
    traceparent: str = "",
) -> Call[Sent]:
    """Send one message to the transcript or the inbox.

    Args:
        queue: the queue of `agent`, or None where queues have slots of their own.
        traceparent: the trace context of the sender, which the turn gets that the message opens.
    """
    if isinstance(message, Message) and message.pinned:
        raise InvalidInput(name="message", detail="a sent message cannot be pinned: pin it when the transcript has it")

    def read(reply: Any) -> Sent:
        found, duplicate, *words = reply.split()
        is_queued = words[0] == b"queued"
        if not is_queued:
            words = words_of(b" ".join(words), APPEND, batch)
        seq, waiting = (None, int(words[1])) if is_queued else (int(words[1]), 0)
        left_ms = int(words[2]) if is_queued and len(words) > 2 else 0
        return Sent(SendResult(seq, waiting, duplicate == b"1", batch), found.decode(), left_ms)

    entry, format = encode(message, batch, counter, keys)
    arguments: dict[str, Argument] = {
        "incarnation": incarnation,
        "operation_id": batch,
        "lease": lease,
        "elapsed_ms": "",
        "expected_rev": "",
        "seen": 0,
        "format": "" if knows_format else format,
    }
    return _send(keys, read, [entry], arguments, agent, queue, bounds.inbox_bytes, traceparent, is_turn_request=False)


def append_and_request_turn(
    append: Call[tuple[AppendResult, str]], agent: str, queue: AgentKeys | None, traceparent: str = ""
) -> Call[tuple[AppendResult, str]]:
    """Return the call that does what an append does, and opens a turn for its messages."""
    assert isinstance(append.keys, SessionKeys)
    return _send(
        append.keys, append.read, append.rest, append.arguments, agent, queue, 0, traceparent, is_turn_request=True
    )


def _send(
    keys: SessionKeys,
    read: Callable[[Any], T],
    entries: Sequence[Argument],
    arguments: Mapping[str, Argument],
    agent: str,
    queue: AgentKeys | None,
    max_bytes: int,
    traceparent: str,
    *,
    is_turn_request: bool,
) -> Call[T]:
    names = ("incarnation", "operation_id", "lease", "elapsed_ms", "expected_rev", "seen", "format")
    given: dict[str, Any] = {name: arguments[name] for name in names}
    return invoke(
        script("inbox/send"), keys, read, other_keys=queue_keys(queue, keys), rest=entries,
        operation=str(given["operation_id"]), id=keys.id, agent=agent, is_queued=int(queue is not None),
        is_turn_request=int(is_turn_request), max_bytes=max_bytes, trace=traceparent, **given,
    )  # fmt: skip


class Drained(NamedTuple):
    """A part of an inbox that entered the transcript."""

    messages: list[Message]
    has_more: bool
    """True if more messages wait."""


def drain(keys: SessionKeys, incarnation: str, lease: str) -> Call[Drained]:
    """Move the oldest messages of the inbox into the transcript: at most 500, and about 1 MB."""

    def read(reply: Any) -> Drained:
        found, first, elements, has_more = reply
        messages = [decode(element, first + at, found.decode(), keys) for at, element in enumerate(elements)]
        return Drained(messages, has_more == 1)

    return invoke(
        script("inbox/drain"), keys, read, incarnation=incarnation, operation_id=new_operation_id(), lease=lease
    )
