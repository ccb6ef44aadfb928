"""Calls on a session's inbox: send a message to the session, and drain the inbox into the transcript."""

from __future__ import annotations

from typing import Any

from ...errors import InvalidInput
from ...models.messages import Message
from ...models.results import SendResult
from ...settings import TokenCounter
from ..protocol.call import Call, invoke
from ..protocol.codec import decode, encode
from ..protocol.ids import check_id, new_operation_id
from ..protocol.keys import SessionKeys
from ..protocol.scripts import script
from .messages import MessageLike


def send(
    keys: SessionKeys, incarnation: str, lease: str, message: MessageLike, count: TokenCounter, batch_id: str | None
) -> Call[tuple[SendResult, str]]:
    """Send one message to the transcript or the inbox. The result is its place, and the incarnation that took it."""
    batch = new_operation_id() if batch_id is None else check_id(batch_id, "batch_id", 128)
    if isinstance(message, Message) and message.pinned:
        raise InvalidInput(name="message", detail="a sent message cannot be pinned: pin it when the transcript has it")

    def read(reply: Any) -> tuple[SendResult, str]:
        found, duplicate, *words = reply.split()
        if words[0] == b"spawned":
            raise InvalidInput(name="batch_id", detail=f"{batch!r} was used for a spawn already")
        is_queued = words[0] == b"queued"
        seq, waiting = (None, int(words[1])) if is_queued else (int(words[1]), 0)
        return SendResult(seq, waiting, duplicate == b"1", batch), found.decode()

    return invoke(
        script("inbox/send"),
        keys,
        read,
        incarnation=incarnation,
        operation_id=batch,
        lease=lease,
        elapsed_ms="",
        entry=encode(message, batch, count).entry,
        operation=batch,
    )


def drain(keys: SessionKeys, incarnation: str, lease: str) -> Call[list[Message]]:
    """Move the inbox into the transcript. The result is the messages that entered."""

    def read(reply: Any) -> list[Message]:
        found, first, elements = reply
        return [decode(element, first + at, found.decode()) for at, element in enumerate(elements)]

    return invoke(
        script("inbox/drain"), keys, read, incarnation=incarnation, operation_id=new_operation_id(), lease=lease
    )
