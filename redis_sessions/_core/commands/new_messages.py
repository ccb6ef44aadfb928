"""The call that appends those messages whose IDs a session does not have."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any

from ...bounds import StorageBounds
from ...errors import InvalidInput
from ...models.results import AppendNewResult
from ...settings import TokenCounter
from ..protocol.call import Call, invoke
from ..protocol.codec import encode
from ..protocol.ids import operation_id_of
from ..protocol.keys import SessionKeys
from ..protocol.scripts import script
from .guarded_write import expected_argument
from .messages import MessageLike, read_result
from .parts import checked_ids
from .storage_bounds import check_transcript_batch


def append_new(
    keys: SessionKeys, incarnation: str, lease: str, messages: Iterable[MessageLike], counter: TokenCounter, *,
    ids: Sequence[str | None], batch_id: str | None, expected_rev: int | None, seen: int, knows_format: bool,
    bounds: StorageBounds,
) -> Call[tuple[AppendNewResult, str]]:  # fmt: skip
    """Append messages that have IDs. The result is their place, and the incarnation that took them. Raises InvalidInput."""
    batch, listed = operation_id_of(batch_id), list(messages)
    if not listed:
        detail = f"a batch must have 1 to {bounds.batch_messages} messages, got 0"
        raise InvalidInput(name="messages", detail=detail)
    names = checked_ids(ids, len(listed), batch)
    encoded = [
        encode(message, id, counter, keys, place if id == batch else 0)
        for place, (message, id) in enumerate(zip(listed, names, strict=True))
    ]
    check_transcript_batch(bounds, [one.entry for one in encoded])
    format = next((one.format for one in encoded if one.format), "")

    def read(reply: Any) -> tuple[AppendNewResult, str]:
        found, duplicate, left_out, result = reply.split(b" ", 3)
        place = read_result(result, batch, duplicate=duplicate == b"1")
        named = {one.name: getattr(place, one.name) for one in fields(place)}
        return AppendNewResult(**named, left_out=int(left_out)), found.decode()

    return invoke(
        script("messages/append_new"), keys, read, operation=batch, incarnation=incarnation, operation_id=batch,
        lease=lease, expected_rev=expected_argument(expected_rev), seen=seen, elapsed_ms="",
        format="" if knows_format else format, max_ids=bounds.part_messages, rest=[one.entry for one in encoded],
    )  # fmt: skip
