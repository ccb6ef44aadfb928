"""Calls on the parts of a session: append, put, read, list, clear and delete."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, NamedTuple, TypeVar

from ..._durations import moment, whole
from ...bounds import StorageBounds
from ...errors import InvalidInput
from ...models.messages import Message
from ...models.pages import Page
from ...models.parts import PartAppend, PartInfo
from ...settings import TokenCounter
from ..protocol.call import Call, invoke
from ..protocol.ids import check_id, new_operation_id, operation_id_of
from ..protocol.keys import SessionKeys
from ..protocol.part_messages import decode_part_message, encode_part_message
from ..protocol.records import PartRecord
from ..protocol.scripts import script
from .messages import PAGE, PAGE_BYTES, MessageLike
from .storage_bounds import check_batch

T = TypeVar("T")
MAX_NAME = 512
MAX_PAGE_PARTS = 1000


def check_part_name(name: str, argument: str = "name", minimum: int = 1) -> str:
    """Return the name of a part: text of 1 to 512 printable characters. Raises InvalidInput."""
    if not isinstance(name, str) or not minimum <= len(name) <= MAX_NAME or not name.isprintable():
        detail = f"must be text of {minimum} to {MAX_NAME} printable characters, got {repr(name)[:80]}"
        raise InvalidInput(name=argument, detail=detail)
    return name


def checked_ids(ids: Sequence[str | None] | None, count: int, batch: str) -> list[str]:
    """Return the ID of each message, the batch ID for a message without one. Raises InvalidInput."""
    if ids is None:
        return [batch] * count
    if isinstance(ids, str) or not isinstance(ids, Sequence) or len(ids) != count:
        raise InvalidInput(name="ids", detail=f"must name an ID or None for each of {count} messages, got {ids!r:.80}")
    if batch in ids:
        raise InvalidInput(
            name="ids", detail=f"must not hold the batch ID, got {batch!r} for both: give another batch ID"
        )
    return [batch if id is None else checked_message_id(id) for id in ids]


def checked_message_id(id: str) -> str:
    """Return the ID of a message: 1 to 128 characters, not '~' first. Raises InvalidInput."""
    if check_id(id, "ids", 128)[0] == "~":
        raise InvalidInput(
            name="ids", detail=f"must not begin with '~', which the library keeps for itself, got {id!r}"
        )
    return id


def _bounds_argument(bounds: StorageBounds) -> str:
    return f"{bounds.parts} {bounds.part_messages} {bounds.parts_bytes}"


def append(
    keys: SessionKeys, incarnation: str, lease: str, name: str, messages: Iterable[MessageLike], counter: TokenCounter, *,
    batch_id: str | None, ids: Sequence[str | None] | None, bounds: StorageBounds,
) -> Call[PartAppend]:  # fmt: skip
    """Append one batch to a part. Raises InvalidInput."""
    batch, listed = operation_id_of(batch_id), list(messages)
    if not listed:
        raise InvalidInput(name="messages", detail=f"a batch must have 1 to {bounds.batch_messages} messages, got 0")
    names = checked_ids(ids, len(listed), batch)
    entries = [
        encode_part_message(message, name, id, counter, keys, place if id == batch else 0)
        for place, (message, id) in enumerate(zip(listed, names, strict=True))
    ]
    check_batch(bounds, entries)

    def read(reply: Any) -> PartAppend:
        first, last, total, left_out = map(int, reply[1].split())
        return PartAppend(first, last, total, left_out, reply[2] == 1, batch)

    return invoke(
        script("parts/append"), keys, read, operation=batch, incarnation=incarnation, operation_id=batch, lease=lease,
        elapsed_ms="", name=name, has_ids=int(ids is not None), bounds=_bounds_argument(bounds), rest=entries,
    )  # fmt: skip


def put(
    keys: SessionKeys, incarnation: str, lease: str, name: str, message: MessageLike, counter: TokenCounter, *,
    id: str | None, seq: int = 0, may_add: bool, bounds: StorageBounds,
) -> Call[int]:  # fmt: skip
    """Replace the message with a seq, or put one under an ID. The result is the seq, 0 when there is no such message."""
    place: int | str = f"={seq}" if seq else 0
    entry = encode_part_message(message, name, "-" if id is None else checked_message_id(id), counter, keys, place)
    call = invoke(
        script("parts/put"), keys, lambda reply: int(reply[1]), incarnation=incarnation, lease=lease, name=name,
        seq=seq, may_add=int(may_add), bounds=_bounds_argument(bounds), entry=entry,
    )  # fmt: skip
    call.stores = may_add
    return call


class Removal(NamedTuple):
    """The outcome of clearing or deleting a part."""

    removed: int
    existed: bool
    is_left: bool
    """True if another call must remove messages that were cleared or deleted."""


def remove(
    keys: SessionKeys, incarnation: str, lease: str, name: str, mode: Literal["clear", "delete", "rest"]
) -> Call[Removal]:
    """Clear or delete a part, or remove what is left of such parts."""
    return invoke(
        script("parts/remove"), keys, lambda reply: Removal(reply[1], reply[2] == 1, reply[3] == 1),
        incarnation=incarnation, operation_id=new_operation_id(), lease=lease, elapsed_ms="", name=name, mode=mode,
    )  # fmt: skip


class PartPage(NamedTuple):
    """Messages of a part in order, and where to go on."""

    messages: list[Message]
    info: PartInfo | None
    """None if the session does not have the part."""
    below: int
    """The seq to go on below, 0 when nothing older is in the range."""


def read(
    keys: SessionKeys, incarnation: str, name: str, *, id: str = "", after: int = 0, below: int = 0, limit: int = PAGE
) -> Call[PartPage]:
    """Read the newest messages of a range of a part, oldest first, or the message with an ID."""

    def page(reply: Any) -> PartPage:
        found, record, first, is_cut, *elements = reply
        if not record:
            return PartPage([], None, 0)
        incarnation = found.decode()
        messages = [
            decode_part_message(element, first + at, incarnation, name, keys) for at, element in enumerate(elements)
        ]
        return PartPage(messages, info_of(name, record), first if is_cut else 0)

    return invoke(
        script("parts/read"), keys, page, incarnation=incarnation, name=name, id=id, after=after, below=below,
        limit=limit, max_bytes=PAGE_BYTES, writes=False,
    )  # fmt: skip


def list_page(keys: SessionKeys, incarnation: str, prefix: str, limit: int, cursor: str | None) -> Call[Page[PartInfo]]:
    """Read a page of parts, by name. Raises InvalidInput."""
    check_part_name(prefix, "prefix", 0)
    whole(limit, "limit", minimum=1, maximum=MAX_PAGE_PARTS)
    after = "" if cursor is None else check_part_name(cursor, "cursor")

    def read(reply: list[bytes]) -> Page[PartInfo]:
        names = [name.decode() for name in reply[1::2]]
        found = [info_of(name, record) for name, record in zip(names, reply[2::2], strict=True)]
        return Page(found[:limit], names[limit - 1] if len(found) > limit else None)

    return list_parts(keys, incarnation, prefix, after, limit, read)


def list_parts(
    keys: SessionKeys, incarnation: str, prefix: str, after: str, limit: int, read: Callable[[Any], T]
) -> Call[T]:
    """Read names and records of parts, by name. The reply is {incarnation, name, record, …}."""
    return invoke(
        script("parts/list"), keys, read, incarnation=incarnation, prefix=prefix, after=after, limit=limit, writes=False
    )


def info_of(name: str, record: bytes) -> PartInfo:
    """Return what a stored record says of a part. Raises ValueError when it is damaged."""
    found = PartRecord.parse(record)
    return PartInfo(
        name=name, count=found.last_seq - found.first_seq + 1, bytes=found.bytes, first_seq=found.first_seq,
        last_seq=found.last_seq, created_at=moment(found.created_ms), updated_at=moment(found.updated_ms),
    )  # fmt: skip
