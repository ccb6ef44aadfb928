"""Parts: transcripts inside a session, each under a name of its own."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(slots=True)
class PartInfo:
    """One part of a session."""

    name: str
    """The name of the part."""
    count: int
    """The number of its messages."""
    bytes: int
    """The bytes of its messages, as stored."""
    first_seq: int
    """The seq of its first message. One more than `last_seq` when the part was cleared."""
    last_seq: int
    """The seq of its last message. A part counts its seqs from 1, and gives none of them twice."""
    created_at: datetime
    """The time of its first append (UTC)."""
    updated_at: datetime
    """The time of its last change (UTC)."""


@dataclass(slots=True)
class PartAppend:
    """The place of a batch of messages in a part."""

    first_seq: int
    """The seq of the first message that was stored, 0 if none was."""
    last_seq: int
    """The seq of the last message that was stored, 0 if none was."""
    count: int
    """The messages of the part."""
    left_out: int
    """Messages that were left out, because the part had their IDs before."""
    duplicate: bool
    """True if this batch ID was appended before: nothing was written, and the other fields are those of that append."""
    batch_id: str
    """The batch ID, the library's if the caller gave none."""
