"""A list query: filters, order, and the place where a page begins."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from hashlib import sha256
from typing import Literal, NamedTuple, get_args

from ..._arguments import texts
from ..._durations import flag, whole
from ...errors import InvalidInput
from ...models.summaries import SessionSummary
from ..protocol.ids import check_id
from ..protocol.keys import SHARDS, EntryKeys, entry_keys
from .index_entries import tag_value
from .session_fields import KINDS, checked_choice, state_field

Order = Literal["updated", "created"]
MAX_PAGE_SESSIONS = 1000
MAX_STATE_NAMES = 50
"""Names of the state that a list shows of each session."""
_MIN_FILTERED_ENTRIES = 500
"""Entries that are read at least when filters combine, because many of them may not match."""


class Position(NamedTuple):
    """The end of a page: the index entry with this time (microseconds) and ID was the last."""

    time: float
    id: str


START = Position(float("inf"), "")
OLDEST = Position(float("-inf"), "")
"""The beginning of an ascending list."""


class DamagedRow(NamedTuple):
    """A session that a list passes over, because a stored record cannot be read."""

    id: str


class Row(NamedTuple):
    """A session as a list shows it, with its incarnation and its times in microseconds."""

    summary: SessionSummary
    incarnation: str
    created_us: int
    updated_us: int


class Query(NamedTuple):
    """The checked filters and order of a list."""

    user_id: str | None
    agent_id: str | None
    label: str | None
    tags: tuple[str, ...]
    kinds: tuple[str, ...]
    active_only: bool
    order: Order
    ascending: bool
    state: tuple[str, ...]
    """The names of the state whose values are shown."""
    limit: int
    statuses: tuple[str, ...] = ("active",)
    """The statuses that count as active."""
    ended_only: bool = False

    @property
    def has_one_filter(self) -> bool:
        """True if one index holds exactly the sessions that are asked for."""
        filters = [self.user_id, self.agent_id, self.label, *self.tags]
        return sum(one is not None for one in filters) <= 1

    @property
    def entries_to_read(self) -> int:
        """The number of index entries that are read for a page at first."""
        return self.limit if self.has_one_filter else max(_MIN_FILTERED_ENTRIES, 2 * self.limit)

    def indexes(self, namespace: str) -> list[list[EntryKeys]]:
        """Return the indexes to read, grouped by slot: those of one filter. The other filters are checked on the sessions."""
        tag = tag_value(self.tags[0]) if self.tags else None
        filters = (("label", self.label), ("user", self.user_id), ("tag", tag), ("agent", self.agent_id))
        for index, value in filters:
            if value is not None:
                return [[entry_keys(namespace, index, kind, value) for kind in self.kinds]]
        return [
            [entry_keys(namespace, "all", kind, "", f"index-{shard}") for kind in self.kinds] for shard in range(SHARDS)
        ]

    def zsets(self, entries: EntryKeys) -> list[str]:
        """Return the zsets of an index that are read."""
        active, ended = (
            (entries.active_updated, entries.ended_updated)
            if self.order == "updated"
            else (entries.active_created, entries.ended_created)
        )
        if self.ended_only:
            return [ended]
        return [active] if self.active_only else [active, ended]

    def is_listed_correctly(self, summary: SessionSummary) -> bool:
        """Return whether a session belongs in the index that was read, as an active or as an ended one."""
        if summary.kind not in self.kinds:
            return False
        if self.label is not None:
            return summary.label == self.label
        if self.user_id is not None:
            return summary.user_id == self.user_id
        if self.tags:
            return self.tags[0] in summary.tags
        return self.agent_id is None or summary.agent_id == self.agent_id

    def matches(self, summary: SessionSummary) -> bool:
        """Return whether a session passes all filters."""
        return (
            (self.user_id is None or summary.user_id == self.user_id)
            and (self.agent_id is None or summary.agent_id == self.agent_id)
            and (self.label is None or summary.label == self.label)
            and summary.kind in self.kinds
            and (not self.active_only or summary.status in self.statuses)
            and set(self.tags) <= set(summary.tags)
        )

    def position_of(self, row: Row) -> Position:
        """Return the place of a session in the order."""
        return Position(row.updated_us if self.order == "updated" else row.created_us, row.summary.id)

    def cursor(self, position: Position) -> str:
        """Return the cursor of the page behind a position."""
        text = json.dumps([self._digest(), position.time, position.id])
        return urlsafe_b64encode(text.encode()).decode().rstrip("=")

    def position(self, cursor: str | None) -> Position:
        """Return where a page begins. Raises InvalidInput for the cursor of another query."""
        if cursor is None:
            return OLDEST if self.ascending else START
        try:
            padded = cursor + "=" * (-len(cursor) % 4)
            digest, at, id = json.loads(urlsafe_b64decode(padded.encode("ascii")))
            is_valid = isinstance(at, int) and isinstance(id, str)
        except (ValueError, TypeError, AttributeError, RecursionError):
            digest, is_valid = "", False
        if not is_valid:
            raise InvalidInput(
                name="cursor", detail=f"must be the cursor of a page of sessions, got {str(cursor)[:60]!r}"
            )
        if digest != self._digest():
            raise InvalidInput(
                name="cursor", detail="belongs to another query: give the filters and the order of the first page"
            )
        return Position(at, id)

    def _digest(self) -> str:
        """Return the mark of the filters and the order. The values that are shown and the size of a page may change."""
        what = (
            self.user_id, self.agent_id, self.label, self.tags, self.kinds, self.active_only, self.order, self.ascending,
        )  # fmt: skip
        return sha256(repr(what).encode("utf-8", "surrogatepass")).hexdigest()[:12]


def query(
    *,
    user_id: str | None = None,
    agent_id: str | None = None,
    user: str | None = None,
    agent: str | None = None,
    label: str | None = None,
    tags: Sequence[str] | None = None,
    kinds: Sequence[str] | None = None,
    active_only: bool = False,
    order: Order = "updated",
    ascending: bool = False,
    state: Sequence[str] = (),
    limit: int = 50,
) -> Query:
    """Check the filters of a list. Raises InvalidInput."""
    user_id = one_of("user_id", user_id, "user", user)
    agent_id = one_of("agent_id", agent_id, "agent", agent)
    if label is not None:
        check_id(label, "label")
    wanted_tags = [] if tags is None else texts(tags, "tags")
    wanted_kinds = KINDS if kinds is None else [checked_choice(kind, "kinds", KINDS) for kind in texts(kinds, "kinds")]
    checked_choice(order, "order", get_args(Order))
    names = tuple(dict.fromkeys([] if state is None else texts(state, "state")))
    if len(names) > MAX_STATE_NAMES:
        raise InvalidInput(name="state", detail=f"must be at most {MAX_STATE_NAMES} names, got {len(names)}")
    for name in names:
        state_field("state.", name)
    chosen = tuple(kind for kind in KINDS if kind in wanted_kinds)
    whole(limit, "limit", maximum=MAX_PAGE_SESSIONS)
    labels = tuple(sorted(set(wanted_tags)))
    return Query(
        user_id, agent_id, label, labels, chosen, flag(active_only, "active_only"), order, flag(ascending, "ascending"), names,
        limit,
    )  # fmt: skip


def one_of(name: str, value: str | None, short_name: str, short: str | None) -> str | None:
    """Return the one of two options that is given, checked as an ID. Raises InvalidInput when both are given."""
    if value is not None and short is not None:
        raise InvalidInput(name=name, detail=f"is the same as {short_name}: give only one of them")
    found = short if value is None else value
    return None if found is None else check_id(found, name if short is None else short_name)
