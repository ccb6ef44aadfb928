# Generated from _async/services/fleet_reader.py by tools/mirror.py; edit that file.
"""The reads of a fleet monitor, in bounded parts."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from ..._core.commands import fleet_rows, list_query, run_queues, workers
from ..._core.commands.fleet_rows import FleetRow
from ..._core.commands.list_query import START, Position, Query
from ..._core.commands.run_queues import QueueLength
from ..._core.commands.server_health import server_health
from ..._core.protocol.call import Call
from ..._core.protocol.keys import session_keys, worker_keys
from ..._core.protocol.transport_errors import TransportError
from ...errors import SchemaMismatch, SessionsError, StoreUnavailable
from ...models.fleet import ServerHealth
from ...models.workers import WorkerInfo
from ..transport import connections
from .context import CacheContext
from .listing import Entries, SessionLister

PART = 800
"""Active sessions that one read looks at."""
ENDED_PART = 1000
"""Sessions that ended, which one read looks at."""
NEWEST = 200
"""Of these, the sessions that changed last."""
_WORKER_PAGES = 20
"""Pages of workers that one read follows, of 1,000 workers or 1 MB of records each."""
_BATCH = 200
"""Sessions that one packet reads."""
_SETTLE_US = 2_000_000
"""Index entries of sessions that ended are read after this time, because another process may write them late."""
_ACTIVE = list_query.query(active_only=True, limit=PART)
_ENDED = list_query.query(limit=ENDED_PART)._replace(ended_only=True)

Named = tuple[str, FleetRow | None]


class Part(NamedTuple):
    """Sessions that were read."""

    rows: list[Named]
    passed: set[str]
    """Sessions that the index lists as active, and that are gone, damaged or ended."""
    now_us: int
    swept: int
    """Sessions that followed on the part before."""
    is_last: bool
    """True if the last of the active sessions is among them."""


class FleetReader:
    """Reads the sessions of a namespace in parts. It remembers where the next part begins."""

    def __init__(self, context: CacheContext) -> None:
        self._context = context
        self._lister = SessionLister(context)
        self._position = START
        self._ended_behind: Position | None = None

    def active_part(self, known: Iterable[str]) -> Part:
        """Return the next part of the active sessions, those that changed last, and those that are known by other ways.

        Cost: two scans of the index, of about 800 entries together, and the sessions. About seven round trips.
        """
        found: list[Entries] = []
        if self._position != START:
            found.append(self._entries(_ACTIVE, START, NEWEST))
        found.append(self._entries(_ACTIVE, self._position, PART - NEWEST * len(found)))
        last = found[-1]
        self._position = START if last.is_last else Position(*last.entries[-1])
        listed = dict.fromkeys(entry.id for one in found for entry in one.entries)
        rows = self._rows(list(listed | dict.fromkeys(known)), last.now_us)
        passed = {id for id, row in rows if id in listed and (row is None or row.session.finished_at is not None)}
        return Part(rows, passed, last.now_us, len(last.entries), last.is_last)

    def ended_part(self) -> list[FleetRow]:
        """Return sessions that ended since the last call, at most about 1,000. In the first call those that ended last."""
        if self._ended_behind is None:
            found = self._entries(_ENDED, START, ENDED_PART)
            newest = found.entries[0].time if found.entries else 0
            self._ended_behind = Position(max(newest, found.now_us - _SETTLE_US), "\U0010ffff")
            entries = found.entries
        else:
            ascending = _ENDED._replace(ascending=True)
            found = self._entries(ascending, self._ended_behind, ENDED_PART)
            entries = [entry for entry in found.entries if entry.time <= found.now_us - _SETTLE_US]
            if entries:
                self._ended_behind = Position(*entries[-1])
        rows = self._rows([entry.id for entry in entries], found.now_us)
        return [row for _, row in rows if row is not None and row.session.finished_at is not None]

    def rows_of(self, ids: Sequence[str]) -> list[Named]:
        """Read sessions by their IDs. No round trip without an ID, two for up to 200."""
        return self._rows(ids, self.server_time()) if ids else []

    def _entries(self, query: Query, behind: Position, limit: int) -> Entries:
        """Return at most `limit` entries. A cluster returns more than are wanted."""
        found = self._lister.entries(query, behind, limit)
        return found if len(found.entries) <= limit else found._replace(entries=found.entries[:limit], is_last=False)

    def _rows(self, ids: Sequence[str], now_us: int) -> list[Named]:
        keys = [session_keys(self._context.namespace, id) for id in ids]
        found: list[FleetRow | SessionsError | None] = []
        for first in range(0, len(keys), _BATCH):
            calls: list[Call[Any]] = [fleet_rows.read_fleet_row(one, now_us) for one in keys[first : first + _BATCH]]
            found += self._context.executor.run_many(calls)
        for problem in found:
            if isinstance(problem, StoreUnavailable | SchemaMismatch):
                raise problem
        return [(id, None if isinstance(row, SessionsError) else row) for id, row in zip(ids, found, strict=True)]

    def repair_later(self, ids: Iterable[str]) -> None:
        """Have the index entries of sessions repaired in the background."""
        self._context.indexer.repair_later(ids)

    def restart(self) -> None:
        """Begin the next part with the session that changed last."""
        self._position = START

    def server_time(self) -> int:
        """Return the time of a server, in microseconds. One round trip."""
        return self._lister.server_time()

    def counts(self) -> tuple[int, int]:
        """Return the numbers of active and of ended sessions, as their indexes count them. Two round trips."""
        active = self._lister.count(_ACTIVE)
        return active, self._lister.count(_ENDED)

    def queues(self) -> dict[str, QueueLength]:
        """Return the lengths of the queues of all agents. Two round trips."""
        queues = self._context.run_queues
        agents = (queues.agents())[:-1]
        calls = [call for agent in agents for call in run_queues.read_queue(queues.queue_of(agent))]
        found: list[Any] = self._context.executor.get_many(calls)
        return {agent: run_queues.queue_length(found[at * 3 : at * 3 + 3]) for at, agent in enumerate(agents)}

    def workers(self) -> list[WorkerInfo]:
        """Return workers, those that are silent for longest first. One round trip for each 1,000 workers or 1 MB of records."""
        keys, found = worker_keys(self._context.namespace), dict[str, WorkerInfo]()
        cursor: str | None = None
        for _ in range(_WORKER_PAGES):
            page = self._context.executor.run(workers.list_page(keys, workers.MAX_PAGE_WORKERS, cursor))
            found |= {one.id: one for one in page.items}  # a worker that was heard again since is in two pages
            cursor = page.cursor
            if cursor is None:
                break
        return list(found.values())

    def servers(self) -> list[ServerHealth]:
        """Return the health of each server. Empty if none can be found. Two round trips to each."""
        try:
            masters = self._context.router.masters()
        except TransportError:
            return []
        return [_health_of(address, client) for address, client in masters.items()]


def _health_of(address: str, client: connections.NodeClient) -> ServerHealth:
    try:
        began = time.monotonic()
        client.send(("PING",))
        latency = timedelta(seconds=time.monotonic() - began)
        (info,) = client.send(("INFO",))
    except TransportError as problem:
        return server_health(address, problem, timedelta(0))
    return server_health(address, info, latency)
