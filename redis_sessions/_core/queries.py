"""What a list is asked for: filters, order, and the place where a page begins."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from hashlib import sha256
from typing import Literal, NamedTuple, get_args

from ..errors import InvalidInput
from ..models.summaries import SessionSummary
from .ids import check_id
from .indexes import KINDS, tag_value
from .keys import SHARDS, EntryKeys, entry_keys
from .units import whole

Order = Literal["updated", "created"]
_MANY = 500
MOST = 1000


class Position(NamedTuple):
    """Where a page ended: before this time and id."""

    time: float
    id: str


START = Position(float("inf"), "")


class Row(NamedTuple):
    """A session as a list shows it, and its times, in microseconds."""

    summary: SessionSummary
    life: str
    created: int
    updated: int


class Query(NamedTuple):
    """What is asked for, checked."""

    user: str | None
    agent: str | None
    label: str | None
    tags: tuple[str, ...]
    kinds: tuple[str, ...]
    active_only: bool
    order: Order
    limit: int
    statuses: tuple[str, ...] = ("active",)
    """What counts as active."""

    @property
    def is_narrow(self) -> bool:
        """Whether one index has just what is asked for."""
        conditions = [self.user, self.agent, self.label, *self.tags]
        return sum(one is not None for one in conditions) <= 1

    @property
    def wanted(self) -> int:
        """How many entries are read for a page."""
        return self.limit + 10 if self.is_narrow else max(_MANY, 2 * self.limit)

    def indexes(self, namespace: str) -> list[list[EntryKeys]]:
        """The indexes to read, those of one slot together: of one condition, the others are looked at in the sessions."""
        tag = tag_value(self.tags[0]) if self.tags else None
        for index, value in (("label", self.label), ("user", self.user), ("tag", tag), ("agent", self.agent)):
            if value is not None:
                return [[entry_keys(namespace, index, kind, value) for kind in self.kinds]]
        return [
            [entry_keys(namespace, "all", kind, "", f"index-{shard}") for kind in self.kinds] for shard in range(SHARDS)
        ]

    @property
    def text(self) -> str:
        """What the facts of a session have that is listed in the indexes that are read; empty when all are."""
        tag = self.tags[0] if self.tags else None
        value = next((one for one in (self.label, self.user, tag, self.agent) if one is not None), None)
        return "" if value is None else json.dumps(value)

    def zsets(self, entries: EntryKeys) -> list[str]:
        """Those of an index that are read."""
        active, ended = (
            (entries.active_updated, entries.ended_updated)
            if self.order == "updated"
            else (entries.active_created, entries.ended_created)
        )
        return [active] if self.active_only else [active, ended]

    def is_listed_rightly(self, one: SessionSummary) -> bool:
        """Whether a session belongs in the index that was read."""
        if one.kind not in self.kinds or (self.active_only and one.status not in ("active", "paused")):
            return False
        if self.label is not None:
            return one.label == self.label
        if self.user is not None:
            return one.user_id == self.user
        if self.tags:
            return self.tags[0] in one.tags
        return self.agent is None or one.agent_id == self.agent

    def fits(self, one: SessionSummary) -> bool:
        """Whether a session is one that is asked for."""
        return (
            (self.user is None or one.user_id == self.user)
            and (self.agent is None or one.agent_id == self.agent)
            and (self.label is None or one.label == self.label)
            and one.kind in self.kinds
            and (not self.active_only or one.status in self.statuses)
            and set(self.tags) <= set(one.tags)
        )

    def place(self, row: Row) -> Position:
        """Where a session is in the order."""
        return Position(row.updated if self.order == "updated" else row.created, row.summary.id)

    def cursor(self, position: Position) -> str:
        """What asks for the page behind a position."""
        text = json.dumps([self._digest(), position.time, position.id])
        return urlsafe_b64encode(text.encode()).decode().rstrip("=")

    def position(self, cursor: str | None) -> Position:
        """Where a page begins; refuses a cursor that is none of this query's."""
        if cursor is None:
            return START
        try:
            padded = cursor + "=" * (-len(cursor) % 4)
            digest, at, id = json.loads(urlsafe_b64decode(padded.encode("ascii")))
            is_ours = isinstance(at, int) and isinstance(id, str)
        except (ValueError, TypeError, AttributeError, RecursionError):
            digest, is_ours = "", False
        if not is_ours:
            raise InvalidInput(name="cursor", detail=f"{str(cursor)[:60]!r} is none of a page of sessions")
        if digest != self._digest():
            raise InvalidInput(
                name="cursor", detail="it is of a page of another query: ask with the same filters and order"
            )
        return Position(at, id)

    def _digest(self) -> str:
        return sha256(repr(self[:-2]).encode("utf-8", "surrogatepass")).hexdigest()[:12]


def query(
    *,
    user: str | None = None,
    agent: str | None = None,
    label: str | None = None,
    tags: Sequence[str] | None = None,
    kinds: Sequence[str] | None = None,
    active_only: bool = False,
    order: Order = "updated",
    limit: int = 50,
) -> Query:
    for name, value in (("user", user), ("agent", agent), ("label", label)):
        if value is not None:
            check_id(value, name)
    for name, values in (("tags", tags), ("kinds", kinds)):
        if isinstance(values, str) or not all(isinstance(one, str) for one in values or ()):
            raise InvalidInput(name=name, detail=f"{values!r} is no list of texts")
    unknown = [kind for kind in kinds or () if kind not in KINDS]
    if unknown:
        raise InvalidInput(name="kinds", detail=f"{unknown[0]!r} is none of {', '.join(KINDS)}")
    if order not in get_args(Order):
        raise InvalidInput(name="order", detail=f"{order!r} is none of {', '.join(get_args(Order))}")
    chosen = tuple(kind for kind in KINDS if kinds is None or kind in kinds)
    most = whole(limit, "limit", most=MOST)
    return Query(user, agent, label, tuple(sorted(set(tags or ()))), chosen, bool(active_only), order, most)
