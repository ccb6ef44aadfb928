"""Calls by which workers show what they do, and by which others read that."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from ..._durations import moment
from ...errors import InvalidInput
from ...models.pages import Page
from ...models.workers import WorkerInfo
from ..protocol.call import Call, invoke
from ..protocol.ids import check_id
from ..protocol.json_values import from_json, to_json
from ..protocol.keys import WorkerKeys
from ..protocol.scripts import script

MAX_PAGE_WORKERS = 1000
MAX_WORKERS = 10_000
"""Registered workers of a namespace. A further one works without an entry."""
_MAX_PAGE_BYTES = 1_000_000
"""Records that a page may have, so that a read does not block the server."""
_LEAST_TTL_MS = 2000
"""A worker with shorter leases counts as alive for this time: it is not heard more often than once a second."""
_MARGIN_MS = 1000


class Registrant(NamedTuple):
    """The facts of a worker that do not change."""

    id: str
    owner: str
    agents: tuple[str, ...]
    concurrency: int
    ttl_ms: int


def interval_seconds(ttl_ms: int) -> float:
    """Return the time between two heartbeats of a worker whose leases have this ttl: 1 to 15 s."""
    return max(1.0, min(15.0, ttl_ms / 2000))


def heartbeat(keys: WorkerKeys, worker: Registrant, holding: Sequence[str], started_ms: int | None) -> Call[int]:
    """Write the record of a worker. The result is the server's time in ms, which is `started_ms` from then on."""
    record = {
        "owner": worker.owner,
        "host": platform.node()[:256],
        "pid": os.getpid(),
        "agents": list(worker.agents),
        "concurrency": worker.concurrency,
        "holding": list(holding),
        "ttl_ms": worker.ttl_ms,
        "started_ms": started_ms,
    }
    return invoke(
        script("workers/heartbeat"), keys, int, id=worker.id, record=to_json(record, "record"), max_workers=MAX_WORKERS,
        writes=False,  # a heartbeat does not wait for replicas
    )  # fmt: skip


def leave(keys: WorkerKeys, id: str) -> Call[None]:
    """Remove a worker that stopped."""
    return invoke(script("workers/leave"), keys, lambda reply: None, id=id, writes=False)


def list_page(keys: WorkerKeys, limit: int, cursor: str | None) -> Call[Page[WorkerInfo]]:
    """Read a page of workers. A record that cannot be read is left out."""
    last, last_ms = _parse_cursor(cursor)

    def read(reply: Any) -> Page[WorkerInfo]:
        now_ms, found, records = reply
        places = [(id.decode(), int(ms)) for id, ms in zip(found[::2], found[1::2], strict=True)]
        is_cut = len(records) < len(places) or len(places) > limit
        listed = list(zip(places, records, strict=False))[:limit]
        workers = [_read_worker(id, ms, record, int(now_ms)) for (id, ms), record in listed]
        return Page([one for one in workers if one is not None], _cursor(*listed[-1][0]) if is_cut else None)

    return invoke(
        script("workers/list"), keys, read, last=last, last_ms=last_ms, limit=limit + 1, max_bytes=_MAX_PAGE_BYTES,
        writes=False,
    )  # fmt: skip


def cursor_behind(worker: WorkerInfo) -> str:
    """Return the cursor of the page that begins behind a worker."""
    return _cursor(worker.id, round(worker.last_heard_at.timestamp() * 1000))


def _read_worker(id: str, heard_ms: int, record: bytes, now_ms: int) -> WorkerInfo | None:
    try:
        found = from_json(record)
        ttl_ms, started_ms = int(found.pop("ttl_ms")), found.pop("started_ms")
        return WorkerInfo(
            **found,
            id=id,
            ttl=timedelta(milliseconds=ttl_ms),
            started_at=moment(heard_ms if started_ms is None else started_ms),
            last_heard_at=moment(heard_ms),
            silent_for=timedelta(milliseconds=max(now_ms - heard_ms, 0)),
            # A time in the future is from before the server's clock was set back. A worker that lives corrects it soon.
            is_alive=abs(now_ms - heard_ms) <= max(ttl_ms, _LEAST_TTL_MS) + _MARGIN_MS,
        )
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        return None


def _cursor(id: str, heard_ms: int) -> str:
    return f"{heard_ms} {id}"


def _parse_cursor(cursor: str | None) -> tuple[str, str]:
    if cursor is None:
        return "", ""
    heard_ms, _, last = cursor.partition(" ") if isinstance(cursor, str) else ("", "", "")
    if not (heard_ms.isascii() and heard_ms.isdigit() and len(heard_ms) < 20):
        raise InvalidInput(name="cursor", detail=f"must be the cursor of a page of workers, got {cursor!r}")
    return check_id(last, "cursor"), heard_ms
