"""A chat service of worker processes that are killed at random, while clients ask. Each question must be answered once.

The sessions have `answered_by`, so each question opens a turn, and a worker claims the turn. A worker that dies leaves its turn,
and another worker answers. `finish` writes the answers and ends the turn in one step, so no question is answered twice.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import secrets
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from ..._sync.api.cache import SessionCache
from ..._sync.api.session import Session
from ...errors import StoreError
from ...models.sessions import SessionInfo
from .chat_roles import AGENT, LEASE_TTL, QUESTIONS, ask, bag_of, is_answer, serve
from .processes import start_process

SESSIONS = 12
_CLIENTS = 2
_KILL_SECONDS = 0.8
"""The time between two kills."""
_STOPPED_SECONDS = 1.5 * LEASE_TTL
"""The time for which a stopped process stands still. Its leases run out."""
_LOOK_SECONDS = 0.15
_WAYS = {"killed": "SIGKILL", "stopped": "SIGSTOP", "ended": "SIGTERM"}
"""The fate of a worker, and the signal. Windows has no SIGSTOP."""


@dataclass(slots=True)
class ChatReport:
    """The outcome of a chat service."""

    sessions: int
    questions: int
    answered_once: int = 0
    """Questions with one answer, behind the question and in the order of the questions."""
    problems: list[str] = field(default_factory=list)
    """Questions that were lost, not answered once, or not answered in order."""
    killed: int = 0
    stopped: int = 0
    """Workers that stood still until their leases had run out, and then went on."""
    ended: int = 0
    wait_p50: float = 0.0
    """Seconds from a question to its answer."""
    wait_p99: float = 0.0
    longest_wait: float = 0.0
    seconds: float = 0.0

    @property
    def is_complete(self) -> bool:
        """True if each question was answered once."""
        return not self.problems and self.answered_once == self.questions


@dataclass(slots=True)
class Conversation:
    """One session, as the demo shows it."""

    info: SessionInfo
    asked: int = 0
    answered: int = 0
    seq: int = 0
    newest: str = ""

    def read(self, session: Session) -> None:
        """Read what came since the last call."""
        self.info = session.info()
        for message in session.history(after_seq=self.seq):
            self.seq, self.newest = message.seq, message.text or self.newest
            self.asked += message.role == "user"
            self.answered += is_answer(message)


# -- the service -------------------------------------------------------------------------------------------------------


class _Service:
    """A constant number of workers. A worker that ended is replaced."""

    def __init__(self, url: str, namespace: str, workers: int, report: ChatReport) -> None:
        self._arguments = (url, namespace)
        self._report = report
        self._ways = [way for way, name in _WAYS.items() if hasattr(signal, name)]
        self._stopped: dict[int, float] = {}
        self._others: list[BaseProcess] = []
        self._workers = [self.start(serve, *self._arguments) for _ in range(workers)]

    def start(self, target: Callable[..., None], *arguments: Any) -> BaseProcess:
        """Start a process, which `stop` kills."""
        process = start_process(target, *arguments)
        self._others.append(process)
        return process

    def look_after(self) -> None:
        """Let processes go on that stopped for long enough, and replace those that ended."""
        for pid, until in list(self._stopped.items()):
            if until <= time.monotonic():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
                del self._stopped[pid]
        for at, worker in enumerate(self._workers):
            if not worker.is_alive():
                self._workers[at] = self.start(serve, *self._arguments)

    def strike(self, ready: set[int]) -> None:
        """Kill, stop or end a worker, in turn. At least half of the workers must be ready, by their process IDs."""
        ready = {pid for pid in ready if pid not in self._stopped}
        able = [worker for worker in self._workers if worker.pid in ready and worker.is_alive()]
        if len(able) < len(self._workers) / 2:
            return
        report, victim = self._report, random.choice(able)
        way = self._ways[(report.killed + report.stopped + report.ended) % len(self._ways)]
        setattr(report, way, getattr(report, way) + 1)
        assert victim.pid is not None
        with suppress(ProcessLookupError):
            os.kill(victim.pid, getattr(signal, _WAYS[way]))
        if way == "stopped":
            self._stopped[victim.pid] = time.monotonic() + _STOPPED_SECONDS

    def stop(self) -> None:
        """Kill all processes."""
        for process in self._others:
            process.kill()


@contextmanager
def _service(url: str, namespace: str, workers: int, report: ChatReport) -> Iterator[_Service]:
    service = _Service(url, namespace, workers, report)
    try:
        yield service
    finally:
        service.stop()


def serve_chat(
    url: str, namespace: str, workers: int, on_look: Callable[[list[Conversation], ChatReport], None]
) -> ChatReport:
    """Let clients ask, and kill workers on the way, until every question was answered or a minute brought no answer.

    Args:
        url: the server.
        namespace: the namespace of the sessions.
        workers: how many processes answer.
        on_look: called with the conversations and the figures, about six times a second.
    """
    report, token, waits = ChatReport(SESSIONS, SESSIONS * QUESTIONS), secrets.token_hex(3), list[float]()
    with SessionCache.from_url(url, namespace=namespace, max_messages=None) as cache:
        sessions = [
            cache.create(f"chat-{token}-{number:02}", answered_by=AGENT, tags=["demo"])
            for number in range(1, SESSIONS + 1)
        ]
        conversations = [Conversation(session.info()) for session in sessions]
        with _service(url, namespace, workers, report) as service:
            pipes, ids = [], [session.id for session in sessions]
            for number in range(_CLIENTS):
                mine, theirs = multiprocessing.Pipe()
                service.start(ask, url, namespace, ids[number::_CLIENTS], theirs)
                theirs.close()
                pipes.append(mine)
            began = time.monotonic()
            next_kill = began + 2 * _KILL_SECONDS
            while pipes:
                service.look_after()
                if time.monotonic() >= next_kill:
                    next_kill = time.monotonic() + _KILL_SECONDS
                    found = cache.workers(AGENT, limit=1000).items
                    service.strike({worker.pid for worker in found if worker.is_alive})
                for one, session in zip(conversations, sessions, strict=True):
                    one.read(session)
                on_look(conversations, report)
                for pipe in [pipe for pipe in pipes if pipe.poll()]:
                    waits += _received(pipe)
                    pipes.remove(pipe)
                time.sleep(_LOOK_SECONDS)
            report.seconds = time.monotonic() - began
        for session in sessions:
            _compare(session, report)
            session.complete()
    waits.sort()
    report.wait_p50, report.wait_p99 = (waits[int(len(waits) * share)] for share in (0.5, 0.99))
    report.longest_wait = waits[-1]
    return report


def _received(pipe: Connection) -> list[float]:
    try:
        found: list[float] = pipe.recv()
    except (EOFError, OSError):
        raise StoreError(where="the clients", detail="a client process ended before its last answer") from None
    return found


def _compare(session: Session, report: ChatReport) -> None:
    """Check that each question of a session is there, and has one answer: behind the question, and in order."""
    asked: list[str] = []
    answered: list[str] = []
    for message in session.history():
        bag = (message.text or "").split()[-1] if message.role == "user" or is_answer(message) else ""
        if message.role == "user":
            asked.append(bag)
        elif bag:
            answered.append(bag)
            if bag not in asked:
                report.problems.append(f"{session.id}: bag {bag} was answered before the question")
    wanted = [bag_of(session.id, number) for number in range(1, QUESTIONS + 1)]
    for name, found in (("questions", asked), ("answers", answered)):
        if found != wanted:
            report.problems.append(f"{session.id}: the {name} are {', '.join(found)}; expected {', '.join(wanted)}")
    report.answered_once += sum(answered.count(bag) == 1 for bag in wanted)
