"""The call that removes the newest messages and returns them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ...errors import OutcomeUnknown
from ...models.messages import Message
from ..protocol.call import Call
from ..protocol.codec import decode
from ..protocol.ids import operation_id_of
from ..protocol.keys import SessionKeys
from ..protocol.scripts import script
from .guarded_write import guarded_write
from .recorded_results import words_of

KEEP_MS = 60_000
"""The time for which popped messages are kept for a repeated call."""


class Popped(NamedTuple):
    """The outcome of a pop."""

    messages: list[Message]
    """The removed messages, oldest first. Else the newest message."""
    is_removed: bool


def pop(
    keys: SessionKeys,
    incarnation: str,
    lease: str,
    known: Sequence[Message],
    *,
    only_known: bool = False,
    batch_id: str | None = None,
    expected_rev: int | None = None,
) -> Call[Popped]:
    """Remove the newest message, or the newest messages if the caller has read them and they are the newest ones still.

    Args:
        known: the messages to remove, oldest first, as the caller has read them. Empty for the newest one.
        only_known: remove nothing that the caller has not read.
    """
    batch = operation_id_of(batch_id)

    def read(reply: list[Any]) -> Popped:
        found, result, outcome, seqs, elements = reply
        words = words_of(result, "pop", batch) if result else []
        listed = [decode(element, seq, found.decode(), keys) for seq, element in zip(seqs, elements, strict=True)]
        if outcome < 2 and len(listed) < len(known) and (not words or int(words[0]) == known[0].seq):
            listed = [*known]  # a group that is too long to be kept
        if outcome == 1 and not listed:
            detail = "the messages are removed, and not kept any more"
            raise OutcomeUnknown(
                session_id=keys.id, batch_id=batch, waited=0.0, detail=detail, advice="Read the session"
            )
        return Popped(listed, outcome < 2)

    return guarded_write(
        script("messages/pop"), keys, incarnation, lease, expected_rev, read, batch=batch, operation=batch,
        first_seq=known[0].seq if known else int(only_known), newest_seq=known[-1].seq if known else 0,
        newest_batch=known[-1].batch_id if known else "", keep_ms=KEEP_MS, elapsed_ms="", plan="",
    )  # fmt: skip
