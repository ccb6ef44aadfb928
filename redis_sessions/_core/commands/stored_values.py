"""Calls that replace stored values as they are, and that move a damaged session out of the way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

from ...errors import SessionsError
from ..protocol.call import Call, invoke
from ..protocol.ids import check_id
from ..protocol.keys import QuarantineKeys, SessionKeys, WorkerKeys
from ..protocol.records import Lineage
from ..protocol.scripts import script
from .trees import Member, parse_member

T = TypeVar("T")
NO_SESSION = "-"
"""Stands for the incarnation where there is none: no session has it."""
_PARTS = ("session", "messages", "ledger", "parts", "part_names")
"""The keys of a session, which are moved together."""
_SLICE_VALUES, _SLICE_BYTES = 200, 1_000_000
Replacement = tuple[bytes, bytes, bytes]
"""The place ('.<field>' or '#<index in the list>'), the present value, and the new value (b'' to remove it)."""


def replace_in_worker_record(keys: WorkerKeys, id: bytes, old: bytes, new: bytes) -> Call[bool]:
    """Replace the record of a worker, unless it changed since it was read."""
    values = [(b"." + id, old, new)]
    return _replace(keys, {"session": keys.records, "messages": keys.records, "aside": keys.records}, 0, values)


def replace_values(
    keys: SessionKeys,
    values: Sequence[Replacement],
    *,
    aside: str | None = None,
    keep_ms: int = 0,
    in_parts: bool = False,
) -> Call[bool]:
    """Replace stored values of a session, if none of them changed since they were read.

    Args:
        values: the values, with their places.
        aside: the key of a hash that keeps the present values for `keep_ms`.
        in_parts: the values are fields of the parts of the session.

    The result is False when a value changed. Then nothing was written.
    """
    other_keys = {"aside": keys.session if aside is None else aside}
    return _replace(keys, {**other_keys, "session": keys.parts} if in_parts else other_keys, keep_ms, values)


def in_slices(values: Sequence[Replacement]) -> Iterator[Sequence[Replacement]]:
    """Divide replacements, which do not depend on each other, into slices of 200 values and about 1 MB."""
    first = size = 0
    for at, (_, old, new) in enumerate(values):
        if at > first and (at - first == _SLICE_VALUES or size > _SLICE_BYTES):
            yield values[first:at]
            first, size = at, 0
        size += len(old) + len(new)
    if first < len(values):
        yield values[first:]


def _replace(
    keys: SessionKeys | WorkerKeys, other_keys: Mapping[str, str], keep_ms: int, values: Sequence[Replacement]
) -> Call[bool]:
    call = invoke(
        script("sessions/replace_values"), keys, lambda reply: reply == 1, other_keys=other_keys, keep_ms=keep_ms,
        rest=[part for one in values for part in one],
    )  # fmt: skip
    call.idempotent = False  # a repeated call would say that the values changed
    return call


def set_aside(
    keys: SessionKeys, incarnation: str | bytes, aside: QuarantineKeys | None = None, keep_ms: int = 0
) -> Call[bool]:
    """Move a session, whatever its keys hold, to other keys for a time, or delete it. False when it is another one by now.

    `incarnation`: as it was read, '' for any, or `NO_SESSION`.
    """
    places = aside or keys
    named = [getattr(one, part) for part in _PARTS for one in (keys, places)]
    if aside is None:
        named += [keys.deltas, keys.deltas, keys.popped, keys.popped]
    return invoke(
        script("sessions/set_aside"), keys, lambda reply: reply == 1, rest_keys=named, incarnation=incarnation,
        keep_ms=keep_ms,
    )  # fmt: skip


class Identity(NamedTuple):
    """The place of a damaged session, as far as it can be read. No ancestors for a root, and where that cannot be read."""

    incarnation: str
    number: int
    ancestors: tuple[str, ...]


UNREADABLE = Identity("", -1, ())
"""The identity of a session whose key is not a hash."""


def is_wrong_type(result: object) -> bool:
    """Return whether a result is the error of a key that has another type than the library gives it."""
    return isinstance(result, SessionsError) and "WRONGTYPE" in str(result)


def result_or_default(result: T | SessionsError, default: T) -> T:
    """Return the result of a call, or the default for a key of another type. Raise any other error."""
    if not isinstance(result, SessionsError):
        return result
    if is_wrong_type(result):
        return default
    raise result


def read_identity(keys: SessionKeys) -> Call[Identity]:
    """Read the place of a session that may be damaged."""

    def read(reply: Any) -> Identity:
        incarnation, lineage = (part or b"" for part in reply)
        try:
            found = Lineage.parse(lineage)
            place = found.number, tuple(check_id(id) for id in found.ancestors)
        except ValueError:
            place = 0, ()
        return Identity(incarnation.decode(errors="replace"), *place)

    return Call(("HMGET", keys.session, "incarnation", "lineage"), keys, read, writes=False)


def read_fields(keys: SessionKeys) -> Call[dict[bytes, bytes]]:
    """Read all fields of a session as they are stored."""
    return Call(
        ("HGETALL", keys.session), keys, lambda reply: dict(zip(reply[::2], reply[1::2], strict=True)), writes=False
    )


def read_elements(keys: SessionKeys, first: int, count: int) -> Call[list[bytes]]:
    """Read a part of the list of a session as it is stored."""
    return Call(("LRANGE", keys.messages, first, first + count - 1), keys, list, writes=False)


def members_of(fields: Mapping[bytes, bytes]) -> list[Member]:
    """Return the members of a tree from the fields of its root, as far as their records are not damaged."""
    found = []
    for name, value in fields.items():
        if name.startswith(b"member."):
            with suppress(ValueError, LookupError):
                member = parse_member(name[7:].decode(), value.decode())
                check_id(member.id)
                found.append(member)
    return sorted(found, key=lambda member: member.number)
