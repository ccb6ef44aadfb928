"""The size of a soak: its load, its sessions, and the periods of its faults."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.support.chat_fleet import AGENT, RUN_AGENT

PLANNER = "planner"
"""The agent whose runs spawn children and wait for them."""
AGENTS = [AGENT, RUN_AGENT, PLANNER]
TTL = 1.0
"""Seconds that a lease outlives its holder."""
TIMEOUT = 2.0
MAX_CLOCK_OFFSET = 8.0
RETRY_FOR = 4.0
"""The time bound of a call. It is short, so that calls fail with an unknown outcome."""
USERS = 3
CAP = 40
ROOT_RUNS = 500
"""Runs that are spawned below one root."""
MAX_ATTEMPTS = 6
HOPELESS_ATTEMPTS = 3

PERIODS = {
    "kill": 5.0,
    "stop": 6.0,
    "terminate": 12.0,
    "kill_connections": 4.0,
    "flush_scripts": 7.0,
    "pause_server": 25.0,
    "restart_server": 60.0,
    "fail_over": 45.0,
    "move_slot": 20.0,
    "fill_memory": 35.0,
    "jump_clock": 11.0,
}
"""Seconds between two faults of a kind."""
LOSSES = {"requests": 0.002, "replies": 0.004, "delays": 0.01, "slices": 0.02}
"""The shares of chunks that a proxy loses, delays and slices."""
CLIENT_FAULTS = ("kill", "stop", "terminate")


@dataclass(frozen=True)
class Plan:
    """The size of a round."""

    seconds: float
    appends: float = 300.0
    """Appends a second of all writers together, at most."""
    runs: float = 20.0
    """Spawns a second of all spawners together, at most."""
    questions: float = 10.0
    """Questions a second of all users together, at most."""
    seed: int = 1
    writers: int = 4
    """Processes that append. Every second one is asyncio."""
    slots: int = 5
    """Threads or tasks of a process."""
    spawners: int = 2
    users: int = 2
    """Processes that ask questions."""
    workers: int = 3
    """Processes that handle runs and turns."""
    shared: int = 24
    """Sessions in which all writers append."""
    capped: int = 9
    leased: int = 8
    chats: int = 5
    """Chat sessions of a slot."""
    periods: dict[str, float] = field(default_factory=lambda: dict(PERIODS))
    longest: float = 1.5
    """Seconds for which a server is paused or full at most."""
    max_clock_offset: float = MAX_CLOCK_OFFSET
    """Seconds by which a clock is wrong at most. A lease can last that much longer when a clock jumps back."""
    losses: dict[str, Any] = field(default_factory=lambda: dict(LOSSES))
    proxied: float = 0.35
    """The share of processes that connect through a proxy that loses, delays and slices what it carries."""
    least: dict[str, int] = field(default_factory=dict)
    """Events that must be in the journals. A round with such numbers goes on until they are, and each fault was injected once."""
    prepare: Callable[[], None] | None = None
    """Called in each process at its start. It can switch a guard off."""


class Operation(NamedTuple):
    """An operation of a writer. The number of the operation determines it, so that a successor repeats it."""

    kind: str
    """append, send or turn."""
    session: str
    size: int


KINDS = {"private": 50, "shared": 25, "capped": 10, "leased": 3, "send": 4, "turn": 8}


def operation(plan: Plan, slot: str, number: int) -> Operation:
    """Return an operation of a writer."""
    dice = random.Random(f"{plan.seed}/{slot}/{number}")
    (kind,) = dice.choices(list(KINDS), list(KINDS.values()))
    size = dice.choice((1, 1, 1, 2, 4))
    if kind == "private":
        return Operation("append", f"private-{slot}", size)
    if kind in ("send", "turn"):
        return Operation(kind, f"leased-{dice.randrange(plan.leased)}", size)
    return Operation("append", f"{kind}-{dice.randrange(getattr(plan, kind))}", size)


def sessions(plan: Plan) -> dict[str, dict[str, Any]]:
    """Return the sessions that exist from the beginning, with their options."""
    found: dict[str, dict[str, Any]] = {}
    for kind in ("shared", "leased"):
        found.update({f"{kind}-{at}": {} for at in range(getattr(plan, kind))})
    policies = ("oldest", "tool_safe", "turn")
    found.update({f"capped-{at}": {"max_messages": CAP, "cap_policy": policies[at % 3]} for at in range(plan.capped)})
    for slot in slots_of(plan, "write"):
        found[f"private-{slot}"] = {}
    for slot in slots_of(plan, "ask"):
        found.update({chat: {"answered_by": AGENT} for chat in chats_of(plan, slot)})
    return {id: {"user_id": f"user-{at % USERS}", **options} for at, (id, options) in enumerate(found.items())}


def chats_of(plan: Plan, slot: str) -> list[str]:
    """Return the chat sessions of a slot."""
    return [f"chat-{slot}-{at}" for at in range(plan.chats)]


def processes_of(plan: Plan) -> list[tuple[str, str]]:
    """Return the role and the name of each process."""
    count = {"write": plan.writers, "spawn": plan.spawners, "ask": plan.users, "work": plan.workers}
    return [(role, f"{role}{at}") for role, many in count.items() for at in range(many)]


def process_slots(plan: Plan, role: str, name: str) -> list[str]:
    """Return the slots of a process."""
    return [f"{name}.{at}" for at in range({"write": plan.slots, "spawn": 3, "ask": 4, "work": 0}[role])]


def slots_of(plan: Plan, role: str) -> list[str]:
    """Return the slots of all processes of a role."""
    return [slot for its, name in processes_of(plan) if its == role for slot in process_slots(plan, role, name)]
