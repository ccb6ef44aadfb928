"""Calls that acquire, renew, release and read a session's lease."""

from __future__ import annotations

import os
import platform
from datetime import timedelta
from functools import cache
from typing import Any, NamedTuple

from ..._durations import Duration, milliseconds, moment
from ...bounds import DEFAULT_BOUNDS
from ...errors import InvalidInput
from ...models.leases import LeaseInfo
from ...models.pages import Page
from ..protocol.call import Call, invoke
from ..protocol.ids import check_id
from ..protocol.keys import IndexKeys, SessionKeys
from ..protocol.records import LeaseRecord, Waiter, inbox_size
from ..protocol.scripts import script

MIN_TTL_MS = 100
MAX_TTL_MS = 24 * 3600 * 1000


class Grant(NamedTuple):
    """Reply to a request for a lease.

    If `fence` > 0, the caller holds the lease for `ms`. If `fence` is 0, the caller waits, and asks again after `ms`.
    """

    fence: int
    ms: int
    incarnation: str
    session_ttl_ms: int = 0
    """The session's idle ttl, 0 for none."""
    granted_at: float = 0.0
    """The time by `time.monotonic()` before which the lease was not granted. 0 for a grant of this moment."""


def lease_ttl(ttl: Duration) -> int:
    """Return the ttl of a lease in ms: 0.1 s, so that it can be renewed in time, to a day. Raises InvalidInput."""
    return milliseconds(ttl, "ttl", minimum=MIN_TTL_MS, maximum=MAX_TTL_MS, bounds="at least 0.1 s and at most a day")


def lease_wait(wait: Duration) -> int:
    """Return the wait for a lease in ms: 0 to a day. Raises InvalidInput."""
    return milliseconds(wait, "wait", minimum=0, maximum=MAX_TTL_MS, bounds="0 or more, and at most a day")


@cache
def _process_name(pid: int) -> str:
    return f"{platform.node().replace(' ', '-')[:100]}:{pid}"


def max_hold_ms(max_hold: Duration | None) -> int | None:
    """Return the longest hold of a lease in ms: 0.1 s or more. Raises InvalidInput."""
    return None if max_hold is None else milliseconds(max_hold, "max_hold", minimum=MIN_TTL_MS, bounds="at least 0.1 s")


def owner_name(owner: str | None) -> str:
    """Return the name of a holder: the given one, or '<host>:<process ID>'. Raises InvalidInput."""
    return _process_name(os.getpid()) if owner is None else check_id(owner, "owner", 128)


def acquire(
    keys: SessionKeys, incarnation: str, nonce: str, owner: str, ttl_ms: int, wait_ms: int, channel: str,
    counts_receivers: bool, max_waiters: int = DEFAULT_BOUNDS.waiters,
) -> Call[Grant]:  # fmt: skip
    """Acquire the lease, or a place among its waiters."""
    return invoke(
        script("leases/acquire"),
        keys,
        lambda reply: Grant(reply[1], reply[2], reply[0].decode(), reply[3]),
        incarnation=incarnation,
        nonce=nonce,
        owner=owner,
        ttl_ms=ttl_ms,
        wait_ms=wait_ms,
        channel=channel,
        counts_receivers=int(counts_receivers),
        max_waiters=max_waiters,
    )


def renew(keys: SessionKeys, incarnation: str, lease: str, ttl_ms: int) -> Call[tuple[int, int]]:
    """Renew the lease. The result is the ms that it lasts, and the session's idle ttl in ms or 0."""
    return invoke(
        script("leases/renew"),
        keys,
        lambda reply: (int(reply[1]), int(reply[2])),
        incarnation=incarnation,
        lease=lease,
        ttl_ms=ttl_ms,
    )


class Released(NamedTuple):
    """The outcome of a release."""

    taken: int
    """Messages that left the inbox."""
    has_turn: bool
    """True if a turn is open, which the queue must hear of."""


def release(keys: SessionKeys, incarnation: str, lease: str) -> Call[Released]:
    """Release the lease '<fence> <nonce>'."""

    def read(reply: Any) -> Released:
        found = reply[1].split()
        taken = int(found[1]) - int(found[0]) + 1 if found else 0
        return Released(call.moved + taken, reply[2] == 1)

    call = invoke(
        script("leases/release"), keys, read, incarnation=incarnation, operation_id=lease.split()[1], lease=lease
    )
    return call


def withdraw(keys: SessionKeys, incarnation: str, nonce: str) -> Call[str]:
    """Leave the place among the waiters. The result is '<fence> <nonce>' to release if the lease was granted, else ''."""
    return invoke(
        script("leases/withdraw"), keys, lambda reply: _token(reply[1], nonce), incarnation=incarnation, nonce=nonce,
        writes=False,  # a wait for replicas that fails must not hide a grant
    )  # fmt: skip


def take_over(keys: SessionKeys, incarnation: str, nonce: str, owner: str, fence: int) -> Call[str]:
    """Take the lease from its holder, if it has a fence (0 for any). The result is '<fence> <nonce>' to release."""
    return invoke(
        script("leases/take_over"),
        keys,
        lambda reply: _token(reply[1], nonce),
        incarnation=incarnation,
        nonce=nonce,
        owner=owner,
        fence=fence,
    )


def _token(fence: int, nonce: str) -> str:
    return f"{fence} {nonce}" if fence else ""


def info(keys: SessionKeys, incarnation: str) -> Call[LeaseInfo | None]:
    """Read the holder, the waiters and the inbox. None when the lease is free or ran out."""

    def read(reply: Any) -> LeaseInfo | None:
        _, now_ms, lease, waiters, inbox = reply
        return read_lease(keys.id, int(now_ms), lease or None, waiters or None, inbox or None)

    return invoke(script("leases/read_info"), keys, read, incarnation=incarnation, writes=False)


def read_lease(
    id: str, now_ms: int, lease: bytes | None, waiters: bytes | None, inbox: bytes | None
) -> LeaseInfo | None:
    """Return a LeaseInfo from fields of a session's hash. None when the lease is free or ran out. Raises ValueError."""
    holder = LeaseRecord.parse(lease)
    if holder.deadline_ms <= now_ms:
        return None
    return LeaseInfo(
        session_id=id,
        owner=holder.owner,
        fence=holder.fence,
        held_since=moment(holder.since_ms),
        expires_in=timedelta(milliseconds=holder.deadline_ms - now_ms),
        waiters=[waiter.detail.split(" ", 1)[-1] for waiter in Waiter.parse_all(waiters)],
        inbox_size=inbox_size(inbox),
    )


def update_index(keys: IndexKeys, id: str, ttl_ms: int) -> Call[None]:
    """Write a session's entry in the index of held leases for `ttl_ms`, or remove it with 0."""
    return invoke(script("leases/update_index"), keys, lambda reply: None, id=id, ttl_ms=ttl_ms)


def list_page(keys: IndexKeys, limit: int, cursor: str | None) -> Call[Page[str]]:
    """Read a page of IDs of sessions whose leases are held."""
    last, deadline_ms = _parse_cursor(cursor)

    def read(reply: list[bytes]) -> Page[str]:
        ids = [id.decode() for id in reply[::2]]
        more = f"{reply[-1].decode()} {ids[-1]}" if len(ids) == limit else None
        return Page(ids, more)

    return invoke(script("leases/list"), keys, read, last=last, deadline_ms=deadline_ms, limit=limit, writes=False)


def _parse_cursor(cursor: str | None) -> tuple[str, str]:
    if cursor is None:
        return "", ""
    deadline_ms, _, last = cursor.partition(" ") if isinstance(cursor, str) else ("", "", "")
    if not (deadline_ms.isascii() and deadline_ms.isdigit() and len(deadline_ms) < 20):
        raise InvalidInput(name="cursor", detail=f"must be the cursor of a page of leases, got {cursor!r}")
    return check_id(last, "cursor"), deadline_ms
