"""What workers were told against what is stored: the checker of the fault suite, and the workers it checks.

A worker writes down what was acknowledged to it, in a file that survives its death, and then goes on.
"""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

from redis_sessions import LeaseLost, Message, OutcomeUnknown, SessionCache, SessionsError
from redis_sessions._sync.calls import Calls

SPAWN = multiprocessing.get_context("spawn")


class Journal:
    """A worker's notes: one line an event, in the file before the worker goes on."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY)

    def note(self, **event: Any) -> None:
        os.write(self._file, json.dumps({"at": time.time(), **event}).encode() + b"\n")


def events(folder: Path) -> list[dict[str, Any]]:
    """All that workers wrote down."""
    return [json.loads(line) for path in sorted(folder.glob("*.log")) for line in path.read_text().splitlines()]


def problems(messages: list[Message], noted: list[dict[str, Any]]) -> list[str]:
    """Everything that is wrong with a history; nothing when it is as promised.

    Each acknowledged message is there once, at the seq that was told; each writer's are in its order; fences never go down
    along the list; the messages of a turn under a lease stand together.
    """
    found: list[str] = []
    places: dict[str, list[int]] = defaultdict(list)
    for message in messages:
        places[message.batch_id or ""].append(message.seq)
    for event in noted:
        if event["what"] == "acknowledged" and places.get(event["batch"]) != [event["seq"]]:
            found.append(f"{event['batch']} was told seq {event['seq']}, is at {places.get(event['batch'])}")
    found += [f"{batch} is there {len(seqs)} times" for batch, seqs in places.items() if len(seqs) > 1]
    last: dict[str, int] = defaultdict(lambda: -1)
    fence = 0
    turns: list[str] = []
    for message in messages:
        payload = message.payload
        if payload["number"] <= last[payload["writer"]]:
            found.append(f"{payload['writer']}.{payload['number']} is out of its writer's order")
        last[payload["writer"]] = payload["number"]
        if payload.get("fence", 0) < fence and payload.get("fence"):
            found.append(f"fence {payload['fence']} comes after {fence}")
        fence = max(fence, payload.get("fence", 0))
        if "turn" in payload and (not turns or turns[-1] != payload["turn"]):
            turns.append(payload["turn"])
    found += [f"turn {turn} is torn apart" for turn in {turn for turn in turns if turns.count(turn) > 1}]
    return found


def forget_batch_ids() -> None:
    """Switches idempotency off in this process: every attempt goes out under a batch id of its own."""
    attempt, numbers = Calls._attempt, itertools.count()

    def careless(self: Calls, call: Any) -> Any:
        if call.operation:
            call.command = (*call.command[:6], f"{os.getpid()}.{next(numbers)}", *call.command[7:])
        return attempt(self, call)

    Calls._attempt = careless  # type: ignore[method-assign]


def write_turns(
    url: str,
    namespace: str,
    folder: str,
    worker: str,
    turns: int,
    leased: bool = True,
    ttl: float = 0.5,
    **options: Any,
) -> None:
    """A worker: turns of four messages, each under a lease, or without one for the ablation."""
    journal = Journal(Path(folder) / f"{worker}.log")
    number = 0
    with SessionCache.from_url(url, namespace=namespace, retry_for=30, **options) as cache:
        session = cache.session("shared")
        for turn in range(turns):
            lease = session.lease(ttl, 60, owner=worker)
            try:
                if leased:
                    lease.acquire()
                    journal.note(what="acquired", fence=lease.fence, worker=worker)
                for _ in range(4):
                    number += 1
                    payload = {"role": "user", "writer": worker, "number": number, "turn": f"{worker}.{turn}"}
                    batch = f"{worker}.{number}"
                    result = session.append({**payload, "fence": lease.fence}, batch_id=batch)
                    journal.note(what="acknowledged", batch=batch, seq=result.first_seq)
                    time.sleep(0.002)
                if leased:
                    lease.release()
            except LeaseLost:
                journal.note(what="lost", fence=lease.fence, worker=worker)
                with_lease_gone(lease)
    journal.note(what="done", worker=worker)


def with_lease_gone(lease: Any) -> None:
    """Forgets a lost lease, as the end of its block does."""
    with suppress(SessionsError):
        lease.release()


def write_plainly(
    url: str, namespace: str, folder: str, worker: str, seconds: float, rate: float, prepare: Callable[[], None] | None = None,
    **options: Any,
) -> None:  # fmt: skip
    """A worker that appends at a rate, and settles what stayed unknown by asking again."""
    if prepare is not None:
        prepare()
    journal = Journal(Path(folder) / f"{worker}.log")
    number, due = 0, time.monotonic() + seconds
    with SessionCache.from_url(url, namespace=namespace, **options) as cache:
        session = cache.session("shared")
        while time.monotonic() < due:
            number += 1
            batch, began = f"{worker}.{number}", time.monotonic()
            while True:
                try:
                    message = {"role": "user", "writer": worker, "number": number}
                    result = session.append(message, batch_id=batch)
                    break
                except OutcomeUnknown as problem:
                    journal.note(what="unknown", batch=problem.batch_id)
                except SessionsError as problem:
                    journal.note(what="error", batch=batch, error=repr(problem))
                    time.sleep(0.05)
            journal.note(what="acknowledged", batch=batch, seq=result.first_seq, waited=time.monotonic() - began)
            time.sleep(max(0.0, began + 1 / rate - time.monotonic()))
    journal.note(what="done", worker=worker)


@contextmanager
def workers(
    target: Callable[..., None], names: list[str], *arguments: Any, **options: Any
) -> Iterator[list[SpawnProcess]]:
    """Processes that run; at the end of the block they are waited for. `arguments` are those around the worker's name."""
    head, tail = arguments[:3], arguments[3:]
    running: list[SpawnProcess] = []
    for name in names:
        process = SPAWN.Process(target=target, args=(*head, name, *tail), kwargs=options, daemon=True)
        process.start()
        running.append(process)
    try:
        yield running
        for process in running:
            process.join(120)
            assert not process.is_alive(), "a worker hangs"
    finally:
        for process in running:
            process.kill()
