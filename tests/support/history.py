"""Compare what the server acknowledged to workers with what is stored: the workers of the fault tests, and their checker.

A worker writes each acknowledgement to a journal, a file that survives the worker's death, before the worker goes on.
"""

from __future__ import annotations

import itertools
import json
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from redis_sessions import LeaseLost, Message, OutcomeUnknown, SessionCache, SessionsError
from redis_sessions._async.transport.executor import Executor as AsyncExecutor
from redis_sessions._sync.transport.executor import Executor
from tests.support.processes import CONTEXT


class Journal:
    """The events of one worker, one line an event."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY)

    def write(self, **event: Any) -> None:
        """Write an event and its time."""
        os.write(self._file, json.dumps({"at": time.time(), **event}).encode() + b"\n")


def read_journals(folder: Path, pattern: str = "*.log") -> list[dict[str, Any]]:
    """Return the events of all workers, or of those whose journals have names of a pattern."""
    lines = [line for path in sorted(folder.glob(pattern)) for line in path.read_text().splitlines(keepends=True)]
    return [json.loads(line) for line in lines if line.endswith("\n")]  # else the worker is writing the line


def find_violations(messages: list[Message], events: list[dict[str, Any]]) -> list[str]:
    """Return every broken promise of a transcript; an empty list if all promises hold.

    - Each acknowledged message is stored once, at the seq that was acknowledged.
    - The messages of a writer are in the writer's order.
    - Fences never decrease along the transcript.
    - The messages of a turn under a lease are contiguous.
    """
    found: list[str] = []
    stored_seqs: dict[str, list[int]] = defaultdict(list)
    for message in messages:
        stored_seqs[message.batch_id or ""].append(message.seq)
    for event in events:
        if event["what"] == "acknowledged" and stored_seqs.get(event["batch"]) != [event["seq"]]:
            found.append(
                f"{event['batch']} was acknowledged at {event['seq']}, is at {stored_seqs.get(event['batch'])}"
            )
    found += [f"{batch} is stored {len(seqs)} times" for batch, seqs in stored_seqs.items() if len(seqs) > 1]
    last_number: dict[str, int] = defaultdict(lambda: -1)
    fence = 0
    turns: list[str] = []
    for message in messages:
        payload = message.payload
        if payload["number"] <= last_number[payload["writer"]]:
            found.append(f"{payload['writer']}.{payload['number']} is out of its writer's order")
        last_number[payload["writer"]] = payload["number"]
        if payload.get("fence", 0) < fence and payload.get("fence"):
            found.append(f"fence {payload['fence']} comes after {fence}")
        fence = max(fence, payload.get("fence", 0))
        if "turn" in payload and (not turns or turns[-1] != payload["turn"]):
            turns.append(payload["turn"])
    found += [f"turn {turn} is torn apart" for turn in {turn for turn in turns if turns.count(turn) > 1}]
    return found


def disable_idempotency() -> None:
    """Give each attempt of this process a new operation ID, so that the server never recognises a retry."""
    numbers = itertools.count()

    def change_id(attempt: Callable[..., Any]) -> Callable[..., Any]:
        def attempt_with_new_id(self: Any, call: Any) -> Any:
            if call.operation:
                call.arguments["operation_id"] = f"{os.getpid()}.{next(numbers)}"
            return attempt(self, call)

        return attempt_with_new_id

    Executor._attempt = change_id(Executor._attempt)  # type: ignore[method-assign]
    AsyncExecutor._attempt = change_id(AsyncExecutor._attempt)  # type: ignore[method-assign]


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
    """Run a worker that writes turns of four messages. Each turn is under a lease, or without a lease for the ablation."""
    journal = Journal(Path(folder) / f"{worker}.log")
    number = 0
    with SessionCache.from_url(url, namespace=namespace, retry_for=30, **options) as cache:
        session = cache.session("shared")
        journal.write(what="begins", worker=worker)
        for turn in range(turns):
            lease = session.lease(ttl, 60, owner=worker)
            try:
                if leased:
                    lease.acquire()
                    journal.write(what="acquired", fence=lease.fence, worker=worker)
                for _ in range(4):
                    number += 1
                    payload = {"role": "user", "writer": worker, "number": number, "turn": f"{worker}.{turn}"}
                    batch = f"{worker}.{number}"
                    result = session.append({**payload, "fence": lease.fence}, batch_id=batch)
                    journal.write(what="acknowledged", batch=batch, seq=result.first_seq)
                    time.sleep(0.002)
                if leased:
                    lease.release()
            except LeaseLost:
                journal.write(what="lost", fence=lease.fence, worker=worker)
                release_quietly(lease)
    journal.write(what="done", worker=worker)


def release_quietly(lease: Any) -> None:
    """Release a lease that may be lost, as the end of its block does."""
    with suppress(SessionsError):
        lease.release()


def write_at_rate(
    url: str, namespace: str, folder: str, worker: str, seconds: float, rate: float, prepare: Callable[[], None] | None = None,
    min_count: int = 0, **options: Any,
) -> None:  # fmt: skip
    """Run a worker that appends `rate` messages a second, and repeats each append until its outcome is known.

    The worker ends after `seconds`; on a busy machine later, with the first `min_count` messages.
    """
    if prepare is not None:
        prepare()
    journal = Journal(Path(folder) / f"{worker}.log")
    with SessionCache.from_url(url, namespace=namespace, **options) as cache:
        session = cache.session("shared")
        journal.write(what="begins", worker=worker)
        number, due = 0, time.monotonic() + seconds
        while time.monotonic() < due or number < min_count:
            number += 1
            batch, began = f"{worker}.{number}", time.monotonic()
            while True:
                try:
                    message = {"role": "user", "writer": worker, "number": number}
                    result = session.append(message, batch_id=batch)
                    break
                except OutcomeUnknown as problem:
                    journal.write(what="unknown", batch=problem.batch_id)
                except SessionsError as problem:
                    journal.write(what="error", batch=batch, error=repr(problem))
                    time.sleep(0.05)
            journal.write(what="acknowledged", batch=batch, seq=result.first_seq, waited=time.monotonic() - began)
            time.sleep(max(0.0, began + 1 / rate - time.monotonic()))
    journal.write(what="done", worker=worker)


def await_begin(folder: Path, count: int) -> None:
    """Return when a number of workers has begun to write: a new process needs a second or more on a busy machine."""
    due = time.monotonic() + 60
    while sum(event["what"] == "begins" for event in read_journals(folder)) < count:
        assert time.monotonic() < due, "a worker did not begin within 60 s"
        time.sleep(0.02)


@contextmanager
def workers(
    target: Callable[..., None], names: list[str], *arguments: Any, **options: Any
) -> Iterator[list[ForkServerProcess]]:
    """Start a process for each name, and wait for all processes at the end of the block.

    The worker's name is the fourth argument of `target`; `arguments` are the three before the name and those after it.
    """
    head, tail = arguments[:3], arguments[3:]
    running: list[ForkServerProcess] = []
    for name in names:
        process = CONTEXT.Process(target=target, args=(*head, name, *tail), kwargs=options, daemon=True)
        process.start()
        running.append(process)
    try:
        yield running
        for process in running:
            process.join(120)
            assert not process.is_alive(), "a worker did not end within 120 s"
    finally:
        for process in running:
            process.kill()
