"""A fleet of worker processes that append conversations in turn, and the comparison of the sessions with the input.

Worker (n + number of the conversation) modulo the size of the fleet appends message n, so different processes append consecutive
messages of a session. Each append has the batch ID `replay.<n>`, so a worker can repeat an append after a death or a lost reply.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from typing import Any

from ..._sync.api.cache import SessionCache
from ...errors import InvalidInput, SessionsError, StoreError
from .conversations import Conversation
from .processes import CONTEXT, start_process

_TAG = "replay"


@dataclass(slots=True)
class Report:
    """The work of a replay, and the differences that the comparison found."""

    sessions: int = 0
    messages: int = 0
    workers: int = 0
    seconds: float = 0.0
    killed: int = 0
    repeated: int = 0
    """Appends that were sent again and recognised. Without batch IDs they would be doubled."""
    retained: int = 0
    dropped: int = 0
    differences: list[str] = field(default_factory=list)

    @property
    def is_equal(self) -> bool:
        """True if every session equals its input."""
        return not self.differences


@dataclass(frozen=True, slots=True)
class _Task:
    conversation: int
    step: int
    id: str
    message: dict[str, Any] = field(compare=False)


def replay_conversations(
    url: str,
    namespace: str,
    conversations: Sequence[Conversation],
    workers: int,
    *,
    settings: dict[str, Any] | None = None,
    kill_one_after: int | None = None,
    on_progress: Callable[[int], None] = lambda done: None,
) -> Report:
    """Replay conversations with worker processes, and compare the sessions with them.

    Args:
        url: the server.
        namespace: the namespace of the sessions.
        conversations: the input.
        workers: how many processes append.
        settings: options of the sessions. Default: no cap.
        kill_one_after: one process gets SIGKILL after this many messages. Default: none does.
        on_progress: called with the number of messages that are stored.
    """
    report = Report(len(conversations), sum(one.total for one in conversations), workers)
    with SessionCache.from_url(url, namespace=namespace, **(settings or {"max_messages": None})) as cache:
        for one in conversations:
            _prepare(cache, one)
        fleet = _Fleet(url, namespace, conversations, workers)
        try:
            fleet.wait_until_ready()
            began = time.monotonic()
            fleet.run(report, kill_one_after, on_progress)
            report.seconds = time.monotonic() - began
        finally:
            fleet.stop()
        for one in conversations:
            compare(cache, one, report)
    return report


class _Worker:
    """One process and its own pipe. A pipe that is not shared cannot block other workers when its process dies."""

    def __init__(self, url: str, namespace: str) -> None:
        self.pipe, theirs = CONTEXT.Pipe()
        self.process = start_process(_append_tasks, url, namespace, theirs)
        theirs.close()
        self.tasks: set[_Task] = set()

    def give(self, task: _Task) -> None:
        self.tasks.add(task)
        with suppress(OSError):  # the process died: the pipe reports it, and other workers get its tasks
            self.pipe.send(task)


class _Fleet:
    def __init__(self, url: str, namespace: str, conversations: Sequence[Conversation], workers: int) -> None:
        self._conversations = conversations
        self._workers: list[_Worker] = []
        try:
            for _ in range(workers):
                self._workers.append(_Worker(url, namespace))
        except BaseException:
            self.stop()
            raise

    def wait_until_ready(self) -> None:
        """Return when every process can append, so that the start of Python does not count as work."""
        for worker in self._workers:
            try:
                worker.pipe.recv()
            except (EOFError, OSError):
                raise StoreError(where="the fleet", detail="a worker process did not start") from None

    def run(self, report: Report, kill_one_after: int | None, on_progress: Callable[[int], None]) -> None:
        """Hand out the next message of a conversation when the last message is stored, until all are stored."""
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
                    self._replace(worker)
                    continue
                if problem:
                    raise StoreError(where="a worker", detail=problem)
                worker.tasks.remove(task)
                done += 1
                report.repeated += duplicate
                on_progress(done)
                if done == kill_one_after:
                    self._kill_one()
                if task.step + 1 < len(self._conversations[task.conversation].messages):
                    self._hand_out(self._task(task.conversation, task.step + 1))

    def _hand_out(self, task: _Task) -> None:
        if not self._workers:
            raise StoreError(where="the fleet", detail="all workers died")
        self._workers[(task.conversation + task.step) % len(self._workers)].give(task)

    def _task(self, number: int, step: int) -> _Task:
        one = self._conversations[number]
        return _Task(number, step, one.id, one.messages[step])

    def _kill_one(self) -> None:
        """Send SIGKILL to the worker with the most tasks."""
        max(self._workers, key=lambda worker: len(worker.tasks)).process.kill()

    def _replace(self, dead: _Worker) -> None:
        """Give the tasks of a dead worker to others. The batch IDs show which tasks the dead worker had done."""
        dead.process.join()
        self._workers.remove(dead)
        for task in dead.tasks:
            self._hand_out(task)

    def stop(self) -> None:
        """End the workers."""
        for worker in self._workers:
            worker.pipe.close()
        for worker in self._workers:
            worker.process.join(5)
            worker.process.kill()


def _append_tasks(url: str, namespace: str, pipe: Any) -> None:
    """Append the messages that come through a pipe, one by one, until the pipe closes. Runs in a worker process."""
    with SessionCache.from_url(url, namespace=namespace) as cache, suppress(EOFError, OSError):
        pipe.send("ready")
        while True:
            task = pipe.recv()
            try:
                result = cache.session(task.id).append(task.message, batch_id=f"replay.{task.step}")
                pipe.send((task, result.duplicate, None))
            except SessionsError as problem:
                pipe.send((task, False, str(problem)))


def _prepare(cache: SessionCache, one: Conversation) -> None:
    """Create the empty session of a conversation. Replace only a session that an earlier replay made."""
    found = cache.get(one.id)
    if found is not None:
        if found.info().tags != [_TAG]:
            reason = f"{one.id!r} exists, and no replay made it: choose another --namespace"
            raise InvalidInput(name="session", detail=reason)
        found.delete()
    cache.create(one.id, user_id=one.user_id, system_prompt=one.system_prompt, tags=[_TAG])


def compare(cache: SessionCache, one: Conversation, report: Report) -> None:
    """Compare a session with its input, message by message. A capped session must equal the end of its input."""
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
    for message in stored:
        expected = one.messages[message.seq - 1]
        if message.payload != expected or list(message.payload) != list(expected):
            report.differences.append(f"{one.id}: message {message.seq} differs from its input")
