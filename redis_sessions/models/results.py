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
