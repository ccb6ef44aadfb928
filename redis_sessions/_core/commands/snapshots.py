"""Calls that read a session with its state and messages."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from ...errors import InvalidState
from ...models.sessions import SessionInfo
from ..protocol.call import Call
from ..protocol.encoding import decoded_field
from ..protocol.json_values import from_json
from ..protocol.keys import SessionKeys
from .messages import Page, read_page, read_range
from .sessions import read_info

_STATE = b"state."


class SnapshotPage(NamedTuple):
    """One page of a snapshot. Only the first page has the info and the state."""

    page: Page
    change: int
    """The number of the last status change or edit."""
    dropped: int
    """The number of messages that left the transcript. Between two pages with the same numbers messages were only appended."""
    info: SessionInfo | None
    state: dict[str, Any]
    outbox: str
    """The writes of shared scopes that were not applied yet, by revision."""


def load(
    keys: SessionKeys,
    incarnation: str,
    *,
    limit: int,
    after: int = 0,
    below: int = 0,
    extend: bool = False,
    with_fields: bool = True,
) -> Call[SnapshotPage]:
    """Read the newest messages of a range, oldest first, with the info and the state of the session if asked for."""

    def read(reply: Any) -> SnapshotPage:
        listed, change, fields = reply[:10], reply[10], reply[11:]
        info, state, outbox = None, {}, ""
        if fields:
            (fields,) = fields
            named = dict(zip(fields[::2], fields[1::2], strict=True))
            outbox = named.pop(b"outbox", b"").decode()
            values = {name: named.pop(name) for name in sorted(named) if name.startswith(_STATE)}
            info = read_info(keys, [part for pair in named.items() for part in pair])
            state = {name.decode()[len(_STATE) :]: _value(keys, name.decode(), one) for name, one in values.items()}
        return SnapshotPage(read_page(keys, listed, False), int(change), listed[2], info, state, outbox)

    more: Literal["change", "fields"] = "fields" if with_fields else "change"
    return read_range(keys, read, incarnation, limit=limit, after=after, below=below, extend=extend, more=more)


def _value(keys: SessionKeys, name: str, stored: bytes) -> Any:
    """Return a value of the state. Raises InvalidState when it is damaged."""
    data = decoded_field(keys, name, stored)
    try:
        return from_json(data)
    except (ValueError, RecursionError) as problem:
        detail = f"the stored value is damaged: {problem}"
        raise InvalidState(name=name[len(_STATE) :], detail=detail) from None
