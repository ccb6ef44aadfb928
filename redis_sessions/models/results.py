"""What calls answer with."""

from __future__ import annotations

from dataclasses import dataclass

from .limits import LimitCheck


@dataclass(slots=True)
class AppendResult:
    """Where a batch of messages landed, and how its session stood right then.

    `count` is what is retained, `dropped` what the cap has removed so far. `duplicate` says that this batch id had been
    appended before: nothing was written, and the other fields are of that first time.
    """

    first_seq: int
    last_seq: int
    rev: int
    count: int
    dropped: int
    limit: LimitCheck
    duplicate: bool
    batch_id: str


@dataclass(slots=True)
class SendResult:
    """Where a sent message is: in the transcript at `seq`, or in the inbox (`seq` None) with `waiting` messages by then.

    `duplicate` says that this batch id had been sent before: nothing was written, and the rest is of that first time.
    """

    seq: int | None
    waiting: int
    duplicate: bool
    batch_id: str
