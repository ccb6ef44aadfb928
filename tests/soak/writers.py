"""Writers: append single messages and batches to private, shared and capped sessions, send, and write turns under leases."""

from __future__ import annotations

import random
from functools import partial
from typing import Any

from redis_sessions import LeaseLost, SessionsError
from tests.soak.drive import OutcomeLost, Script, Slot, note, persist
from tests.soak.plan import TTL, Operation, operation
from tests.support.history import Journal

_TURN_MESSAGES = 4
_LEASE_WAIT = 5.0


def write(slot: Slot) -> Script:
    """Carry out the next operation of a slot."""
    journal, number = slot.journal, slot.number
    task = operation(slot.plan, slot.name, number)
    session = slot.cache.session(task.session)
    if task.kind == "turn":
        yield from _write_turn(session, slot)
        return
    batch, messages = f"{slot.name}.{number}", payloads(slot.name, number, task)
    facts = {"number": number, "session": task.session, "size": task.size}
    try:
        if task.kind == "send":
            yield from persist(journal, session.send, messages[0], batch_id=batch)
            journal.write(what="sent", **{**facts, "size": 1})
            return
        result = yield from persist(journal, session.append, *messages, batch_id=batch)
    except OutcomeLost:
        journal.write(what="unknown", **facts)
        return
    journal.write(what="appended", first=result.first_seq, last=result.last_seq, duplicate=result.duplicate, **facts)


def payloads(slot: str, number: int, task: Operation) -> list[dict[str, Any]]:
    """Return the messages of an operation."""
    dice = random.Random(f"{slot}/{number}")
    role = "assistant" if dice.random() < 0.4 else "user"
    content = "x" * dice.choice((10, 60, 60, 200))
    facts = {"role": role, "writer": slot, "number": number, "kind": task.kind}
    return [{**facts, "part": part, "content": content} for part in range(task.size)]


def _write_turn(session: Any, slot: Slot) -> Script:
    """Write the messages of a turn, one by one, under a lease. A turn whose lease is lost stays as it is."""
    journal, number = slot.journal, slot.number
    turn = f"{slot.name}.{number}.{slot.tries + 1}"
    facts = {"number": number, "session": session.id, "turn": turn}
    journal.write(what="begun", **facts)
    lease = session.lease(TTL, _LEASE_WAIT, owner=slot.name)
    try:
        yield from persist(journal, lease.acquire)
        for part in range(_TURN_MESSAGES):
            message = {"role": "user", "writer": slot.name, "number": number, "part": part, "kind": "turn",
                       "turn": turn, "fence": lease.fence}  # fmt: skip
            result = yield from persist(journal, lease.session.append, message, batch_id=f"{turn}.{part}")
            journal.write(what="written", part=part, seq=result.first_seq, fence=lease.fence, **facts)
    except LeaseLost:
        journal.write(what="lost", **facts)
    else:
        journal.write(what="finished", **facts)
    yield from _release(lease, journal)


def _release(lease: Any, journal: Journal) -> Script:
    """Release a lease, or let the lease run out when that fails."""
    try:
        yield partial(lease.release)
    except LeaseLost:
        pass  # it is free, or another worker has it
    except SessionsError as problem:
        note(journal, problem)
