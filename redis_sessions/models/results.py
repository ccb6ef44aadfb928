"""The results of appends and sends."""

from __future__ import annotations

from dataclasses import dataclass

from .limits import LimitCheck


@dataclass(slots=True)
class AppendResult:
    """The place of a batch of messages, and the session right after it."""

    first_seq: int
    """The seq of the first message of the batch."""
    last_seq: int
    """The seq of the last message of the batch."""
    rev: int
    """The revision."""
    count: int
    """Messages that the session retains."""
    dropped: int
    """Messages that are not retained: the cap dropped them, or an edit removed them."""
    limit: LimitCheck
    """The position of the session against its limits."""
    duplicate: bool
    """True if this batch ID was appended before: nothing was written, and the other fields are those of that append."""
    batch_id: str
    """The batch ID, the library's if the caller gave none."""
    over_cap: int = 0
    """Retained messages above `max_messages`, because the cap policy keeps the newest group whole."""
    abandoned: int = 0
    """Tool calls without a result that were abandoned because the cap needed their place."""


@dataclass(slots=True)
class AppendNewResult(AppendResult):
    """The place of those messages of a batch whose IDs were new, and the session right after it.

    `first_seq` and `last_seq` are 0 if there were none.
    """

    left_out: int = 0
    """Messages that were left out, because the session had their IDs before."""


@dataclass(slots=True)
class SendResult:
    """The place of a sent message."""

    seq: int | None
    """The seq in the transcript, or None if the message waits in the inbox."""
    waiting: int
    """Messages in the inbox, this one included. 0 if the message is in the transcript."""
    duplicate: bool
    """True if this batch ID was sent before: nothing was written, and the other fields are those of that send."""
    batch_id: str
    """The batch ID, the library's if the caller gave none."""
