"""Deltas: the parts of an answer that is being made. They are sent to watchers, and kept until the next message."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from ..._durations import flag
from ...bounds import StorageBounds
from ...errors import InvalidInput
from ...settings import Encodable
from ..protocol.call import Call, invoke
from ..protocol.chain import MAX_OVERHEAD_BYTES
from ..protocol.encoding import encoded
from ..protocol.ids import new_operation_id
from ..protocol.json_values import to_json
from ..protocol.keys import SessionKeys
from ..protocol.notifications import MAX_DELTA_BYTES
from ..protocol.scripts import script

KEEP_MS = 600_000
"""The time for which the deltas of an answer are kept without another delta."""
_STORED = re.compile(rb"(\S+) (\d{1,16}) (\d{1,16}) (\d{1,16}) \d{1,16} \S+ ")
_PUBLISHED = re.compile(rb"(\d{1,16}) (\d{1,16}) (\d{1,16}) ")


class Delta(NamedTuple):
    """A delta, and its place."""

    answer: int
    """The answer that the delta is a part of: the time at which that began."""
    seq: int
    """The last seq of the session when the delta was published."""
    number: int
    """The number of the delta in its answer, from 1."""
    data: bytes
    """The value as it is stored."""


def publish(keys: SessionKeys, incarnation: str, data: Any, restart: bool, bounds: StorageBounds) -> Call[None]:
    """Tell the watchers a delta. Raises InvalidInput.

    The executor takes the call for a read, because a delta is not guaranteed: the call waits for no replica, and an unknown
    outcome is a StoreUnavailable.
    """
    text = to_json(data, "data")
    size = len(text.encode())
    if size > MAX_DELTA_BYTES:
        raise InvalidInput(name="data", detail=f"must have at most {MAX_DELTA_BYTES} bytes of JSON, got {size}")
    is_named = keys.chain is not None and "deltas" in keys.chain.kinds
    kind: Encodable = "deltas" if is_named else "messages"  # a delta is a part of a message, and is stored as one is
    return invoke(
        script("messages/publish"), keys, lambda reply: None, writes=False, incarnation=incarnation,
        data=encoded(keys, kind, text.encode(), "delta"), nonce=new_operation_id(), elapsed_ms="",
        restarts=int(flag(restart, "restart")), max_bytes=bounds.deltas_bytes, keep_ms=KEEP_MS,
    )  # fmt: skip


def read_deltas(keys: SessionKeys, incarnation: str, answer: int, number: int) -> Call[list[Delta]]:
    """Read the deltas of the answer in progress, those behind a number if the answer is a given one."""

    def read(reply: list[bytes]) -> list[Delta]:
        found, *elements = reply
        return [delta for one in elements if (delta := _parse_stored(one, found)) is not None]

    return invoke(
        script("messages/read_deltas"), keys, read, writes=False, incarnation=incarnation, known_answer=answer,
        known_number=number,
    )  # fmt: skip


def _parse_stored(element: bytes, incarnation: bytes) -> Delta | None:
    found = _STORED.match(element)
    if found is None or found[1] != incarnation:
        return None
    return Delta(int(found[2]), int(found[3]), int(found[4]), element[found.end() :])


def parse_published(fact: bytes) -> Delta | None:
    """Return the delta of a notification, '<answer> <seq> <number> <data>', or None if no script publishes it."""
    found = _PUBLISHED.match(fact)
    if found is None or len(fact) - found.end() > MAX_DELTA_BYTES + MAX_OVERHEAD_BYTES:
        return None
    return Delta(int(found[1]), int(found[2]), int(found[3]), fact[found.end() :])
