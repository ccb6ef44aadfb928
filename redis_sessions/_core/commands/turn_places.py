"""Calls that find a turn in a transcript, a part of the way at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ...models.messages import Message
from ..protocol.call import Call, invoke
from ..protocol.codec import decode_newest
from ..protocol.keys import SessionKeys
from ..protocol.records import parse_gaps, seqs_from
from ..protocol.scripts import script
from .messages import MAX_SCANNED_MESSAGES


class TurnPlace(NamedTuple):
    """The place of a turn, or where to go on to find it."""

    number: int
    """The turn. 0 when there is none, -1 when it lies further back."""
    first: int
    """The seq of the first message, or the seq to go on below."""
    behind: int
    """The seq behind the last message."""
    turn: int = 0
    """The number of the turn that begins behind `first`."""
    messages: Sequence[Message] = ()
    """All messages of the turn, or none when they must be read in pages."""


def find_turn(keys: SessionKeys, incarnation: str, number: int, before: TurnPlace | None = None) -> Call[TurnPlace]:
    """Find one turn by its number, 0 for the last. `before` is what the last call found, if that was a part of the way."""

    def read_place(reply: Any) -> TurnPlace:
        found, _, number, first, behind, rest, *listing = reply
        if number < 1:
            return TurnPlace(number, first, behind, rest if number else 0)
        low, gaps = listing
        seqs = [
            *([first] if low != first else []),
            *seqs_from(low, len(rest) - (low != first), parse_gaps(gaps.decode())),
        ]
        messages, left = decode_newest(keys, seqs, rest, found.decode(), False)
        return TurnPlace(number, first, behind, messages=[] if left else messages)

    below, behind, turn = (before.first, before.behind, before.turn) if before is not None else (0, 0, 0)
    return invoke(
        script("messages/read_turn"), keys, read_place, incarnation=incarnation, number=number,
        max_scanned=MAX_SCANNED_MESSAGES, below=below, behind=behind, turn=turn, writes=False,
    )  # fmt: skip
