"""A chat service for tests: workers that answer turns and are killed, stopped and ended, and clients that ask."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerProcess
from typing import Any

from redis_sessions import (
    AsyncRun,
    AsyncSession,
    AsyncSessionCache,
    InvalidInput,
    Message,
    ReplyTimeout,
    Run,
    SendResult,
    Session,
    SessionCache,
)
from tests.support.fleet import Strikes
from tests.support.processes import CONTEXT

AGENT = "concierge"
RUN_AGENT = "porter"
AGENTS = [AGENT, RUN_AGENT]
RETRY_FOR = 30.0
"""The time for which a client or a worker tries to reach the server."""
TURN_SECONDS = 0.02
"""The longest time that a handler takes, apart from its calls."""
_BURST = 0.3
"""The share of questions that a client asks before the answer to the last one."""
_RETRY_SECONDS = 2.0
"""The time without an answer after which a client looks whether the turn has failed."""
_STOPPED_TTLS = 1.3
"""The ttls of a lease for which a process is stopped."""


@dataclass(frozen=True)
class Chat:
    """The size of a chat service, and what happens to its workers."""

    sessions: int
    questions: int
    """Questions in each session."""
    workers: int = 8
    clients: int = 4
    ttl: float = 1.0
    """Seconds that a lease outlives its worker."""
    kill_every: float = 0.2
    """Seconds between two kills."""
    ways: tuple[str, ...] = ("SIGKILL", "SIGSTOP", "SIGTERM")
    """The signals that workers get in turn. SIGCONT follows SIGSTOP when the leases have run out."""
    runs: int = 0
    """Spawned runs that the same workers handle at the same time."""
    rate: float = 40.0
    """Questions a second of all clients together, if the answers come at once."""
    patience: float = 60.0
    """Seconds that a client waits for an answer."""


@dataclass
class Outcome:
    """The figures of a run, and what went wrong."""

    violations: list[str] = field(default_factory=list)
    """Questions that were lost, or were not answered once and in order."""
    waits: list[float] = field(default_factory=list)
    """Seconds from the call of `send` to the answer, ascending."""
    kills: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    def wait(self, share: float) -> float:
        """Return the wait that a share of the answers did not exceed."""
        return self.waits[min(int(len(self.waits) * share), len(self.waits) - 1)] if self.waits else 0.0

    def describe(self) -> str:
        """Return the figures as one line."""
        kills = ", ".join(f"{count} {name}" for name, count in sorted(self.kills.items()))
        return (
            f"{len(self.waits)} answers in {self.seconds:.1f} s; wait p50 {self.wait(0.5):.3f}, p99 {self.wait(0.99):.3f},"
            f" max {self.wait(1):.3f} s; kills: {kills or 'none'}; violations: {len(self.violations)}"
        )


# -- workers -----------------------------------------------------------------------------------------------------------


def _answers(requests: list[Message]) -> list[dict[str, Any]]:
    return [
        {"role": "assistant", "content": f"answer to {request.text}"} for request in requests if request.role == "user"
    ]


def _look_up(run: Run | AsyncRun) -> tuple[list[dict[str, Any]], str]:
    """Return a tool call with its result, and a batch ID by which only one attempt at the turn appends them."""
    call = f"call-{run.first_seq}"
    function = {"name": "look_up", "arguments": "{}"}
    return [
        {"role": "assistant", "tool_calls": [{"id": call, "type": "function", "function": function}]},
        {"role": "tool", "tool_call_id": call, "content": "found"},
    ], f"look-up.{run.first_seq}"


def reply(run: Run) -> str | None:
    """Answer the questions of a turn, and call a tool before each second time. Or handle a run."""
    if run.work == "run":
        time.sleep(random.uniform(0, TURN_SECONDS))
        return f"did {run.task}"
    answers = _answers(run.requests())
    if random.random() < 0.5:
        messages, batch_id = _look_up(run)
        run.append(*messages, batch_id=batch_id)
    time.sleep(random.uniform(0, TURN_SECONDS))
    run.finish(*answers)
    return None


async def reply_async(run: AsyncRun) -> str | None:
    """Do the same as a coroutine."""
    if run.work == "run":
        await asyncio.sleep(random.uniform(0, TURN_SECONDS))
        return f"did {run.task}"
    answers = _answers(await run.requests())
    if random.random() < 0.5:
        messages, batch_id = _look_up(run)
        await run.append(*messages, batch_id=batch_id)
    await asyncio.sleep(random.uniform(0, TURN_SECONDS))
    await run.finish(*answers)
    return None


def serve(url: str, namespace: str, ttl: float, prepare: Callable[[], None] | None = None) -> None:
    """Run a worker with threads or with asyncio until SIGTERM."""
    if prepare is not None:
        prepare()
    random.seed()
    if random.random() < 0.5:
        asyncio.run(_serve_async(url, namespace, ttl))
        return
    with SessionCache.from_url(url, namespace=namespace, retry_for=RETRY_FOR) as cache:
        cache.worker(AGENTS, reply, concurrency=8, ttl=ttl)


async def _serve_async(url: str, namespace: str, ttl: float) -> None:
    async with AsyncSessionCache.from_url(url, namespace=namespace, retry_for=RETRY_FOR) as cache:
        await cache.worker(AGENTS, reply_async, concurrency=8, ttl=ttl)


# -- clients -----------------------------------------------------------------------------------------------------------


def ask(url: str, namespace: str, ids: list[str], chat: Chat, prepare: Callable[[], None] | None = None) -> None:
    """Ask the questions of some sessions, of all at once, and wait for the answers."""
    if prepare is not None:
        prepare()
    random.seed()
    asyncio.run(_ask_all(url, namespace, ids, chat))


async def _ask_all(url: str, namespace: str, ids: list[str], chat: Chat) -> None:
    async with AsyncSessionCache.from_url(url, namespace=namespace, retry_for=RETRY_FOR) as cache:
        await asyncio.gather(*[_ask(cache.session(id), chat) for id in ids])


async def _ask(session: AsyncSession, chat: Chat) -> None:
    longest_pause = 2 * chat.sessions / chat.rate
    for number in range(chat.questions):
        await asyncio.sleep(random.uniform(0, longest_pause))
        question = Message("user", f"{session.id}.{number} at {time.time():.6f}")
        sent = await session.send(question, batch_id=f"question.{number}")
        if random.random() < _BURST and number + 1 < chat.questions:
            continue
        await _wait(session, sent, chat.patience)


async def _wait(session: AsyncSession, sent: SendResult, patience: float) -> None:
    """Wait for an answer. Try a turn again whose workers died three times."""
    due = time.monotonic() + patience
    while time.monotonic() < due:  # the comparison reports what was not answered
        try:
            await session.wait_for_reply(sent, timeout=_RETRY_SECONDS)
            return
        except ReplyTimeout:
            with suppress(InvalidInput):
                if (await session.info()).work == "failed":
                    await session.retry()


# -- the supervisor ----------------------------------------------------------------------------------------------------


class Supervisor:
    """A constant number of workers. They are killed in three ways in turn, and those that ended are replaced."""

    def __init__(self, chat: Chat, outcome: Outcome, *arguments: Any) -> None:
        self._chat = chat
        self._outcome = outcome
        self._arguments = arguments
        self._strikes = Strikes(_STOPPED_TTLS * chat.ttl)
        self._ended: list[ForkServerProcess] = []
        self._workers = [self._start() for _ in range(chat.workers)]

    def _start(self) -> ForkServerProcess:
        process = CONTEXT.Process(target=serve, args=self._arguments, daemon=True)
        process.start()
        return process

    def look_after(self) -> None:
        """Continue the processes that were stopped for long enough, and replace those that ended."""
        self._strikes.resume()
        for at, process in enumerate(self._workers):
            if not process.is_alive():
                process.join()
                if process.exitcode != -signal.SIGKILL:
                    self._outcome.violations.append(f"a worker ended by itself with {process.exitcode}")
                self._workers[at] = self._start()

    def strike(self, ready: set[int]) -> None:
        """Kill, stop or end a random worker. Half of them must be ready, because a busy machine starts processes slowly."""
        ready = {pid for pid in ready if pid not in self._strikes.stopped}
        able = [process for process in self._workers if process.pid in ready and process.is_alive()]
        if len(able) < len(self._workers) / 2:
            return
        victim = random.choice(able)
        assert victim.pid
        name = self._chat.ways[self._outcome.kills.total() % len(self._chat.ways)]
        self._outcome.kills[name] += 1
        self._strikes.strike(victim.pid, name)
        if name == "SIGTERM":
            self._workers[self._workers.index(victim)] = self._start()
            self._ended.append(victim)

    def stop(self) -> None:
        """Kill all workers."""
        for process in [*self._workers, *self._ended]:
            process.kill()
            process.join()


def run_chat(url: str, namespace: str, chat: Chat, prepare: Callable[[], None] | None = None) -> Outcome:
    """Let clients ask, kill workers until all questions were asked and answered, and compare.

    Args:
        url: the server.
        namespace: the namespace of the sessions.
        chat: the size.
        prepare: called in each process at its start. It can switch a guard off.
    """
    outcome = Outcome()
    with SessionCache.from_url(url, namespace=namespace, max_messages=None) as cache:
        ids = [cache.create(f"chat-{number}", answered_by=AGENT).id for number in range(chat.sessions)]
        root = cache.create("root", max_children=None, max_active=None, max_descendants=5000)
        for number in range(chat.runs):
            root.spawn(RUN_AGENT, task=f"{number}", max_attempts=50).raise_if_refused()
        supervisor = Supervisor(chat, outcome, url, namespace, chat.ttl, prepare)
        clients = [
            CONTEXT.Process(target=ask, args=(url, namespace, ids[at :: chat.clients], chat, prepare), daemon=True)
            for at in range(chat.clients)
        ]
        try:
            began = next_kill = time.monotonic()
            for client in clients:
                client.start()
            while any(client.is_alive() for client in clients) or root.info().count < chat.runs:
                supervisor.look_after()
                if time.monotonic() >= next_kill:
                    next_kill = max(next_kill + chat.kill_every, time.monotonic())
                    found = cache.workers(AGENT, limit=1000).items
                    supervisor.strike({worker.pid for worker in found if worker.is_alive})
                time.sleep(0.01)
            outcome.seconds = time.monotonic() - began
        finally:
            supervisor.stop()
            for client in clients:
                client.kill()
                client.join()
        outcome.violations += [f"client {at} failed" for at, client in enumerate(clients) if client.exitcode]
        _compare_runs(root, chat.runs, outcome)
        for id in ids:
            compare(id, cache.session(id).history(), chat.questions, outcome)
    outcome.waits.sort()
    return outcome


def compare(id: str, history: list[Message], questions: int, outcome: Outcome) -> None:
    """Check that the questions of a session are there in order, and that each is answered once, in order, behind it."""
    asked = [message for message in history if message.role == "user"]
    answers = [message for message in history if (message.text or "").startswith("answer to ")]
    names = [(message.text or "").partition(" ")[0] for message in asked]
    if names != [f"{id}.{number}" for number in range(questions)]:
        outcome.violations.append(f"{id}: the questions are {names}")
    answered = [(message.text or "").removeprefix("answer to ") for message in answers]
    if answered != [message.text for message in asked]:
        missing = [message.text for message in asked if message.text not in answered]
        double = [text for text, count in Counter(answered).items() if count > 1]
        outcome.violations.append(f"{id}: unanswered {missing}, answered twice {double}, answers {answered}")
    by_text = {message.text: message for message in asked}
    for text, message in zip(answered, answers, strict=True):
        question = by_text.get(text)
        if question is None or question.seq > message.seq:
            outcome.violations.append(f"{id}: an answer before its question: {text}")
        outcome.waits.append(message.timestamp_ms / 1000 - float(text.rpartition(" ")[2]))


def _compare_runs(root: Session, runs: int, outcome: Outcome) -> None:
    """Check that each run completed, and that its result was delivered once."""
    children = root.children()
    found = Counter(str(child.status) for child in children)
    if found != ({"completed": runs} if runs else {}):
        outcome.violations.append(f"of {runs} runs {dict(found)}")
    results = Counter(message.metadata["subagent"]["session"] for message in root.history())
    if results != {child.id: 1 for child in children}:
        outcome.violations.append(f"{runs} runs delivered {results.total()} results of {len(results)}")
