"""Leases: the calls that acquire, renew, release and look at one, and the reading of what waiters are told."""

from __future__ import annotations

import os
import platform
from datetime import timedelta
from functools import cache
from typing import Any, NamedTuple

from ..errors import InvalidInput
from ..models.leases import LeaseInfo
from ..models.pages import Page
from .calls import Call, invoke
from .ids import check_id, new_operation_id
from .keys import IndexKeys, SessionKeys
from .scripts import script
from .units import Duration, milliseconds

SHORTEST_MS = 100
LONGEST_MS = 24 * 3600 * 1000
LINE = 1000
ORDER = "-"
"""Stands for a lease where none is needed: an operator's order, such as to cancel."""


class Grant(NamedTuple):
    """An answer to who asks for a lease: it is his, or he is in line. `ms`: how long it holds, or when to ask again."""

    fence: int
    ms: int
    life: str


def lease_ttl(ttl: Duration) -> int:
    """In ms; refuses what is too short to be renewed in time, or too long to wait for after a crash."""
    return milliseconds(ttl, "ttl", least=SHORTEST_MS, most=LONGEST_MS, bounds="at least 0.1 s and at most a day")


def lease_wait(wait: Duration) -> int:
    """In ms; 0 not to wait at all."""
    return milliseconds(wait, "wait", least=0, most=LONGEST_MS, bounds="0 or more, and at most a day")


@cache
def _here(pid: int) -> str:
    return f"{platform.node().replace(' ', '-')[:100]}:{pid}"


def owner_name(owner: str | None) -> str:
    """What a holder is called: what it says, or its host and process."""
    return _here(os.getpid()) if owner is None else check_id(owner, "owner", 128)


def acquire(
    keys: SessionKeys, life: str, nonce: str, owner: str, ttl_ms: int, wait_ms: int, channel: str, counted: bool
) -> Call[Grant]:
    return invoke(
        script("leases/acquire"),
        keys,
        lambda reply: Grant(reply[1], reply[2], reply[0].decode()),
        life=life,
        nonce=nonce,
        owner=owner,
        ttl=ttl_ms,
        wait=wait_ms,
        channel=channel,
        counted=int(counted),
        most=LINE,
    )


def renew(keys: SessionKeys, life: str, lease: str, ttl_ms: int) -> Call[int]:
    """Reads as the ms it holds."""
    return invoke(script("leases/renew"), keys, lambda reply: int(reply[1]), life=life, lease=lease, ttl=ttl_ms)


def release(keys: SessionKeys, life: str, lease: str) -> Call[int]:
    """Reads as how many messages the inbox gave to the transcript.

    `lease` is 'fence nonce'; ORDER for whoever has it, 'fence *' for whoever has it with that fence; '* nonce' to leave the
    line, or to give back what was granted meanwhile.
    """

    def read(reply: Any) -> int:
        found = reply[1].split()
        return int(found[1]) - int(found[0]) + 1 if found else 0

    nonce = lease.split()[-1]
    batch = new_operation_id() if nonce in (ORDER, "*") else nonce
    return invoke(script("leases/release"), keys, read, life=life, batch=batch, lease=lease)


def info(keys: SessionKeys, life: str) -> Call[LeaseInfo | None]:
    """Reads as None when nobody holds it."""

    def read(reply: Any) -> LeaseInfo | None:
        _, now, lease, line, inbox = (part.decode() for part in reply)
        return read_lease(keys.id, int(now), lease, line, inbox)

    return invoke(script("leases/info"), keys, read, life=life, writes=False)


def read_lease(id: str, now: int, lease: str, line: str, inbox: str) -> LeaseInfo | None:
    """From the fields of a session's hash."""
    fence, nonce, deadline, owner = (lease or "0 - 0 -").split()
    if nonce == "-":
        return None
    return LeaseInfo(
        session_id=id,
        owner=owner,
        fence=int(fence),
        expires_in=timedelta(milliseconds=int(deadline) - now),
        line=[record.split()[-1] for record in line.splitlines()],
        inbox=inbox_size(inbox),
    )


def inbox_size(inbox: str) -> int:
    """How many messages the field 'first last' says there are."""
    first, last = (inbox or "1 0").split()
    return int(last) - int(first) + 1


class Told(NamedTuple):
    """What a waiter hears: `granted` (it is his), `held` (by another, for so long), `run` (his to claim), `ask` (ask again).

    Who watches hears what happened, with its data.
    """

    word: str
    fence: int = 0
    ms: int = 0
    run: str = ""
    data: bytes = b""


ASK = Told("ask")


def read_told(data: bytes) -> tuple[str, Told]:
    """From a message on a channel: whom it is for, and what it says."""
    nonce, word, rest = data.split(b" ", 2)
    if word in (b"new", b"status", b"delta", b"gone"):
        return nonce.decode(), Told(word.decode(), data=rest)
    if word == b"run":
        return nonce.decode(), Told("run", run=rest.decode())
    fence, ms = rest.split()
    return nonce.decode(), Told(word.decode(), int(fence), int(ms))


def note(keys: IndexKeys, id: str, ttl_ms: int) -> Call[None]:
    """Tells the index that a session's lease is held for so long; 0 for not any more."""
    return invoke(script("leases/note"), keys, lambda reply: None, id=id, ttl=ttl_ms)


def listed(keys: IndexKeys, limit: int, cursor: str | None) -> Call[Page[str]]:
    """Reads as a page of session ids."""
    last, deadline = _read_cursor(cursor)

    def read(reply: list[bytes]) -> Page[str]:
        ids = [id.decode() for id in reply[::2]]
        more = f"{reply[-1].decode()} {ids[-1]}" if len(ids) == limit else None
        return Page(ids, more)

    return invoke(script("leases/list"), keys, read, last=last, deadline=deadline, limit=limit, writes=False)


def _read_cursor(cursor: str | None) -> tuple[str, str]:
    if cursor is None:
        return "", ""
    deadline, _, last = cursor.partition(" ") if isinstance(cursor, str) else ("", "", "")
    if not deadline.isdigit():
        raise InvalidInput(name="cursor", detail=f"{cursor!r} is none of a page of leases")
    return check_id(last, "cursor"), deadline
