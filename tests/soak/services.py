"""Spawners of runs, users who ask, and the handlers of the workers that serve both."""

from __future__ import annotations

import json
import random
import time
from functools import partial
from typing import Any

from redis_sessions import (
    AsyncRun,
    GiveUp,
    InvalidInput,
    Message,
    ReplyTimeout,
    Retry,
    Run,
)
from tests.soak.drive import TRANSIENT, Script, Slot, note, persist, run, run_async
from tests.soak.plan import HOPELESS_ATTEMPTS, MAX_ATTEMPTS, PLANNER, ROOT_RUNS, chats_of
from tests.support.chat_fleet import RUN_AGENT, reply, reply_async
from tests.support.history import Journal

MAX_WAITING = 60
"""Runs of a root that wait or are handled. Then the spawner waits, so that the round can end soon."""
TASKS = {"complete": 60, "flaky": 10, "hopeless": 2, "give_up": 3, "busy": 10, "parent": 15}
CHILDREN = 2
_ROOT_OPTIONS = {"max_children": None, "max_active": None, "max_descendants": 5000}
_WORK_SECONDS = 0.01
_REPLY_SECONDS = 2.0


def task_kind(slot: str, number: int) -> str:
    """Return what a run does."""
    return random.Random(f"{slot}/{number}").choices(list(TASKS), list(TASKS.values()))[0]


def root_of(slot: str, number: int) -> str:
    """Return the root below which a run is spawned."""
    return f"root-{slot}-{number // ROOT_RUNS}"


def spawn(slot: Slot) -> Script:
    """Spawn one run, and wait while too many wait."""
    journal, number = slot.journal, slot.number
    root, kind = slot.cache.session(root_of(slot.name, number)), task_kind(slot.name, number)
    if number % ROOT_RUNS == 0 or slot.is_new:
        yield from persist(journal, slot.cache.get_or_create, root.id, **_ROOT_OPTIONS)
    while number % 10 == 0:
        info = yield from persist(journal, root.info)
        if number % ROOT_RUNS - info.last_seq - info.inbox_size < MAX_WAITING:
            break
        yield 0.1
    result = yield from persist(
        journal,
        root.spawn,
        PLANNER if kind == "parent" else RUN_AGENT,
        task=json.dumps({"kind": kind, "name": f"{slot.name}.{number}"}),
        max_attempts=HOPELESS_ATTEMPTS if kind == "hopeless" else MAX_ATTEMPTS,
        batch_id=f"{slot.name}.{number}",
    )
    result.raise_if_refused()
    journal.write(what="spawned", number=number, root=root.id, session=result.session_key, kind=kind)


def ask(slot: Slot) -> Script:
    """Ask a question, and wait for the answer to every second one."""
    journal, number, chats = slot.journal, slot.number, chats_of(slot.plan, slot.name)
    session = slot.cache.session(chats[number % len(chats)])
    name = f"{session.id}.{number // len(chats)}"
    question = Message("user", f"{name} at {time.time():.6f}")
    sent = yield from persist(journal, session.send, question, batch_id=name)
    journal.write(what="asked", number=number, session=session.id)
    if random.random() < 0.5:
        return
    began = time.monotonic()
    try:
        yield partial(session.wait_for_reply, sent, timeout=_REPLY_SECONDS)
        journal.write(what="answered", seconds=time.monotonic() - began)
    except ReplyTimeout:
        journal.write(what="answered", seconds=_REPLY_SECONDS)
        yield from mend(session, journal)
    except TRANSIENT as problem:
        note(journal, problem)


def mend(session: Any, journal: Journal) -> Script:
    """Try a turn again that failed, because its workers died or the server refused their writes."""
    info = yield from persist(journal, session.info)
    if info.work == "failed":
        try:
            yield from persist(journal, session.retry)
        except InvalidInput:
            pass  # another user tried the turn again
        else:
            journal.write(what="retried", session=session.id)


# -- handlers ----------------------------------------------------------------------------------------------------------


def handle(run_: Run) -> Any:
    """Answer a turn, or do what the task of a run says."""
    return reply(run_) if run_.work == "turn" else run(_do(run_))


async def handle_async(run_: AsyncRun) -> Any:
    """Do the same as a coroutine."""
    return await reply_async(run_) if run_.work == "turn" else await run_async(_do(run_))


def _do(run_: Any) -> Script:
    task = json.loads(run_.task)
    kind, name = task["kind"], task["name"]
    yield partial(
        run_.append, {"role": "assistant", "content": f"working on {name}"}, batch_id=f"{name}.{run_.attempt}"
    )
    yield random.uniform(0, _WORK_SECONDS)
    if kind == "hopeless" or (kind == "flaky" and run_.attempt == 1):
        raise ValueError(kind)
    if kind == "give_up":
        raise GiveUp(kind)
    if kind == "busy" and random.random() < 0.5:
        raise Retry(kind, after=0.05)
    if kind != "parent":
        return f"did {name}"
    spawned = []
    for at in range(CHILDREN):
        child = {"kind": "complete", "name": f"{name}/{run_.attempt}.{at}"}
        spawned.append((yield partial(run_.spawn, RUN_AGENT, task=json.dumps(child), max_attempts=MAX_ATTEMPTS)))
    children = yield partial(run_.wait_for, spawned)
    return [child.result for child in children]
