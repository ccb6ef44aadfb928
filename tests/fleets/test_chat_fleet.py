"""A chat service whose workers are killed: each question is answered once and in order, and no client waits for long.

`make long` runs the full size: 8 workers, 200 sessions, 4,000 questions of 4 clients, on four engines.
"""

from __future__ import annotations

import os

import pytest

from redis_sessions._async.services.run_queues import RunQueues as AsyncRunQueues
from redis_sessions._sync.services.run_queues import RunQueues
from tests.conftest import SLOW_TEST_ENGINES, Engines, check_lifetimes
from tests.support.chat_fleet import Chat, run_chat
from tests.support.machine_load import measured_load

SOAK = bool(os.environ.get("REDIS_SESSIONS_SOAK"))
FULL = Chat(sessions=200, questions=20)
SHORT = Chat(sessions=75, questions=4, rate=60.0)
LONGEST_WAIT_SECONDS = 3.0
"""The 99th percentile of the waits may exceed the ttl of a lease by this."""


@pytest.mark.parametrize("name", SLOW_TEST_ENGINES if SOAK else ["valkey-9", "cluster"])
def test_each_question_is_answered_once_while_workers_die(name: str, engines: Engines, namespace: str) -> None:
    """Each question is answered once and in order, while a worker is killed, stopped or ended every 200 ms."""
    chat = FULL if SOAK else SHORT
    with measured_load() as load:
        outcome = run_chat(engines.url(name), namespace, chat)
        bound = load.allow(chat.ttl + LONGEST_WAIT_SECONDS, wakeups=8)
    print(f"\n{name}: {outcome.describe()}; the machine works {load.slowdown:.1f} times slower than when idle")
    assert outcome.violations == []
    assert len(outcome.waits) == chat.sessions * chat.questions
    assert outcome.kills.total() >= outcome.seconds
    assert outcome.wait(0.99) <= bound
    for node in engines.nodes[name]:
        check_lifetimes(node.client, namespace)
        node.client.flushall()


def test_runs_and_turns_survive_the_kills_together(engines: Engines, namespace: str) -> None:
    """Each run completes once and each question is answered once, while one of eight workers is killed every 100 ms."""
    chat = Chat(
        sessions=50,
        questions=20 if SOAK else 3,
        rate=20.0,
        kill_every=0.1,
        ways=("SIGKILL",),
        runs=2000 if SOAK else 150,
    )
    outcome = run_chat(engines.url("valkey-9"), namespace, chat)
    print(f"\n{chat.runs} runs and {outcome.describe()}")
    assert outcome.violations == []
    assert len(outcome.waits) == chat.sessions * chat.questions
    for node in engines.nodes["valkey-9"]:
        check_lifetimes(node.client, namespace)
        node.client.flushall()


def switch_off_recovery() -> None:
    """Let this process check no work whose worker may have died, and no inbox."""

    def advance(*_: object) -> None: ...

    async def advance_async(*_: object) -> None: ...

    RunQueues.advance = advance  # type: ignore[method-assign,assignment]
    AsyncRunQueues.advance = advance_async  # type: ignore[method-assign,assignment]


def test_questions_stay_unanswered_without_recovery(engines: Engines, namespace: str) -> None:
    """The ablation shows that questions stay unanswered when no process advances the work of dead workers."""
    chat = Chat(sessions=60, questions=5, rate=60.0, patience=1.5, kill_every=0.1, ways=("SIGKILL", "SIGSTOP"))
    outcome = run_chat(engines.url("valkey-9"), namespace, chat, switch_off_recovery)
    print(f"\nwithout recovery: {outcome.describe()}")
    assert [violation for violation in outcome.violations if "unanswered" in violation]
    for node in engines.nodes["valkey-9"]:
        node.client.flushall()
