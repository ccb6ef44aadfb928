"""A fleet of worker processes that take turns on the same conversations, and the check of what they left behind.

Message n of a conversation goes to worker (n + its number) modulo the fleet, so consecutive messages of one session come
from different processes. A worker appends with batch id `replay.<n>`: whoever repeats it after a death or a lost reply
changes nothing.
"""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from typing import Any

from .._sync.cache import SessionCache
from ..errors import InvalidInput, SessionsError, StoreError
from .conversations import Conversation

_TAG = "replay"


@dataclass(slots=True)
class Report:
    """What a replay did and what was found when everything was read back."""

    sessions: int = 0
    messages: int = 0
    workers: int = 0
    seconds: float = 0.0
    killed: int = 0
    repeated: int = 0
    """Appends that were sent again and recognised: without batch ids they would be doubled."""
    retained: int = 0
    dropped: int = 0
    differences: list[str] = field(default_factory=list)

    @property
    def is_equal(self) -> bool:
        """Whether every session holds what it should."""
        return not self.differences


@dataclass(frozen=True, slots=True)
class _Task:
    conversation: int
    step: int
    id: str
    message: dict[str, Any] = field(compare=False)


def replay(
    url: str,
    namespace: str,
    conversations: Sequence[Conversation],
    workers: int,
    *,
    settings: dict[str, Any] | None = None,
    kill_one_after: int | None = None,
    on_progress: Callable[[int], None] = lambda done: None,
) -> Report:
    """Replays conversations with `workers` processes. With `kill_one_after`, one of them gets SIGKILL after so many messages."""
    report = Report(len(conversations), sum(one.total for one in conversations), workers)
    with SessionCache.from_url(url, namespace=namespace, **(settings or {"max_messages": None})) as cache:
        for one in conversations:
            _prepare(cache, one)
        fleet = _Fleet(url, namespace, conversations, workers)
        began = time.monotonic()
        try:
            fleet.run(report, kill_one_after, on_progress)
        finally:
            fleet.stop()
        report.seconds = time.monotonic() - began
        for one in conversations:
            compare(cache, one, report)
    return report


class _Worker:
    """One process and the pipe to it. Pipes are not shared, so a death leaves nobody else waiting."""

    def __init__(self, url: str, namespace: str) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(url, namespace, theirs), daemon=True)
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # inherited: Ctrl-C is the parent's to handle
        self.process.start()
        signal.signal(signal.SIGINT, before)
        theirs.close()
        self.tasks: set[_Task] = set()

    def give(self, task: _Task) -> None:
        self.tasks.add(task)
        with suppress(OSError):  # it died: its pipe says so, and its tasks are handed on
            self.pipe.send(task)


class _Fleet:
    def __init__(self, url: str, namespace: str, conversations: Sequence[Conversation], workers: int) -> None:
        self._conversations = conversations
        self._workers = [_Worker(url, namespace) for _ in range(workers)]

    def run(self, report: Report, kill_one_after: int | None, on_progress: Callable[[int], None]) -> None:
        """Hands out the next message of a conversation when its last one is stored, until all are."""
        total = sum(len(one.messages) for one in self._conversations)
        done = 0
        for number, one in enumerate(self._conversations):
            if one.messages:
                self._hand_out(self._task(number, 0))
        while done < total:
            ready = wait([worker.pipe for worker in self._workers])
            for worker in [worker for worker in self._workers if worker.pipe in ready]:
                try:
                    task, duplicate, problem = worker.pipe.recv()
                except (EOFError, OSError):
                    report.killed += 1
                    self._bury(worker)
                    continue
                if problem:
                    raise StoreError(where="a worker", detail=problem)
                worker.tasks.remove(task)
                done += 1
                report.repeated += duplicate
                on_progress(done)
                if done == kill_one_after:
                    self._kill()
                if task.step + 1 < len(self._conversations[task.conversation].messages):
                    self._hand_out(self._task(task.conversation, task.step + 1))

    def _hand_out(self, task: _Task) -> None:
        if not self._workers:
            raise StoreError(where="the fleet", detail="all workers died")
        self._workers[(task.conversation + task.step) % len(self._workers)].give(task)

    def _task(self, number: int, step: int) -> _Task:
        one = self._conversations[number]
        return _Task(number, step, one.id, one.messages[step])

    def _kill(self) -> None:
        """SIGKILL for the worker with the most work on its hands."""
        max(self._workers, key=lambda worker: len(worker.tasks)).process.kill()

    def _bury(self, dead: _Worker) -> None:
        """Gives the work of a dead worker to others. What it had already stored is recognised by its batch id."""
        dead.process.join()
        self._workers.remove(dead)
        for task in dead.tasks:
            self._hand_out(task)

    def stop(self) -> None:
        """Ends the workers."""
        for worker in self._workers:
            worker.pipe.close()
        for worker in self._workers:
            worker.process.join(5)
            worker.process.kill()


def _work(url: str, namespace: str, pipe: Any) -> None:
    """One worker process: appends what it is told, a message at a time, until its pipe closes."""
    with SessionCache.from_url(url, namespace=namespace) as cache, suppress(EOFError, OSError):
        while True:
            task = pipe.recv()
            try:
                result = cache.session(task.id).append(task.message, batch_id=f"replay.{task.step}")
                pipe.send((task, result.duplicate, None))
            except SessionsError as problem:
                pipe.send((task, False, str(problem)))


def _prepare(cache: SessionCache, one: Conversation) -> None:
    """An empty session for a conversation. That of an earlier replay is replaced, another's is left alone."""
    found = cache.get(one.id)
    if found is not None:
        if found.info().tags != [_TAG]:
            reason = f"{one.id!r} exists and is of no replay: choose another namespace"
            raise InvalidInput(name="session", detail=reason)
        found.delete()
    cache.create(one.id, user_id=one.user_id, system_prompt=one.system_prompt, tags=[_TAG])


def compare(cache: SessionCache, one: Conversation, report: Report) -> None:
    """Reads a session back and holds it against its input, message by message. A capped one must end like its input."""
    session = cache.session(one.id)
    info, stored = session.info(), session.history()
    report.retained += len(stored) + (info.system_prompt is not None)
    report.dropped += info.dropped
    if info.system_prompt != one.system_prompt:
        report.differences.append(f"{one.id}: the system prompt differs")
    if info.last_seq != len(one.messages):
        report.differences.append(f"{one.id}: {info.last_seq} messages were stored, not {len(one.messages)}")
    if len(stored) + info.dropped != info.last_seq or (info.max_messages and len(stored) > info.max_messages):
        report.differences.append(f"{one.id}: {len(stored)} messages retained, {info.dropped} dropped")
    if info.dropped and stored and stored[0].role == "tool":
        report.differences.append(f"{one.id}: begins with a tool result whose call was dropped")
    for message, expected in zip(stored, one.messages[info.dropped :], strict=False):
        if message.payload != expected or list(message.payload) != list(expected):
            report.differences.append(f"{one.id}: message {message.seq} differs from its input")
