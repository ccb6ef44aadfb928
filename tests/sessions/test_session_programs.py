"""Random programs on a session against a model: messages, windows, counts, state, lease, inbox, copies and watchers agree."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from redis_sessions import Session, SessionCache
from redis_sessions._core.protocol.call import Call
from redis_sessions._core.protocol.transport_errors import ConnectionLost
from redis_sessions._sync.transport.executor import Executor
from tests.support.session_comparison import Difference
from tests.support.session_player import Step
from tests.support.session_program import Play, program

PROGRAMS, LENGTH = (60, 80) if os.environ.get("REDIS_SESSIONS_SOAK") else (4, 60)
SEEDS = [1, 2, 3, 4]


class Network:
    """A network that loses the next reply of a write on demand."""

    def __init__(self) -> None:
        self.is_losing = False

    def lose(self, is_losing: bool) -> None:
        """Lose the next reply of a write, or no reply any more."""
        self.is_losing = is_losing


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Network:
    """Return the network of all caches of this process."""
    network, send = Network(), Executor._send

    def send_and_lose(self: Executor, call: Call[object]) -> list[object]:
        replies = send(self, call)
        if network.is_losing and call.writes and call.idempotent and not isinstance(replies[0], Exception):
            network.is_losing = False
            raise ConnectionLost("the reply was lost")
        return replies

    monkeypatch.setattr(Executor, "_send", send_and_lose)
    return network


def expire_lease(cache: SessionCache, session: Session) -> None:
    """Let the lease of a session run out at once."""
    key, run = session._keys.session, cache._context.executor.run

    def read(reply: bytes) -> bytes:
        return reply

    words = run(Call(("HGET", key, "lease"), session._keys, read)).split()
    words[2] = b"1"
    run(Call(("HSET", key, "lease", b" ".join(words)), session._keys, lambda reply: None))


def difference(cache: SessionCache, network: Network, seed: int, steps: list[Step]) -> str:
    """Return the difference that a program leads to, '' if there is none."""
    try:
        Play(cache, seed, network.lose, lambda session: expire_lease(cache, session)).play(steps)
    except Difference as found:
        return str(found)
    return ""


def shrink(steps: list[Step], fails: Callable[[list[Step]], bool]) -> list[Step]:
    """Return the steps that a difference needs."""
    left = list(steps)
    for at in reversed(range(len(steps))):
        fewer = left[:at] + left[at + 1 :]
        left = fewer if fails(fewer) else left
    return left


@pytest.mark.parametrize("first", SEEDS)
def test_any_program_leaves_what_the_model_has(cache: SessionCache, network: Network, first: int) -> None:
    """A session is as its model after each step of a program, also when replies are lost and operations are repeated."""
    for seed in range(first * 1000, first * 1000 + PROGRAMS):
        steps = program(seed, LENGTH)
        found = difference(cache, network, seed, steps)
        if found:
            fewer = shrink(steps, lambda left, seed=seed: bool(difference(cache, network, seed, left)))  # type: ignore[misc]
            names = [(step.name, step.loses_reply) for step in fewer]
            pytest.fail(f"seed {seed}: {names}\n{difference(cache, network, seed, fewer) or found}")
