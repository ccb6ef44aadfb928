"""The queues in which runs wait for workers of their agent, and the care for runs whose time is over or whose worker died."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from .._core import leases, runs, trees
from .._core.calls import Call
from .._core.keys import AgentKeys, SessionKeys, agent_keys, index_keys, session_keys
from .._core.leases import Told
from .._core.runs import Asked, Claim, Waiting
from .._core.sessions import Left
from ..errors import SessionsError
from . import background
from .calls import Calls
from .indexes import Indexes
from .wakes import Wakes

_ENLISTED = 3600.0  # seconds for which an agent that was noted need not be noted again
_SOON = 0.02  # seconds until a queue is told what is no news to it, out of the way of who waits for a run
_FIRST_LOOK_MS = 1000  # until what was spawned beside its hint is looked at, to learn how long it lives


class Queues:
    """Where runs wait. A queue is a hint: what a run is, it says itself. A hint is made before its run, and goes after it."""

    def __init__(self, calls: Calls, wakes: Wakes, indexes: Indexes, namespace: str) -> None:
        self._calls = calls
        self._wakes = wakes
        self._indexes = indexes
        self._namespace = namespace
        self._agents = index_keys(namespace, "agents")
        self._hint_ms = round(max(20.0, 2 * calls.retry_for) * 1000)  # longer than a spawn can take
        self._enlisted: dict[str, float] = {}

    def of(self, agent: str) -> AgentKeys:
        """The keys of an agent's queue."""
        return agent_keys(self._namespace, agent)

    @property
    def is_apart(self) -> bool:
        """Whether queues have slots of their own, so that no script can write a session and a queue at once."""
        return not self._wakes.counted

    async def prepare(
        self, agent: str, parent: SessionKeys, id: str, *, claimable: bool, beside: Sequence[Call[Any]]
    ) -> None:
        """Before a run is made: its agent is known to whoever sweeps and, where the queue is apart, the hint is there."""
        await self._enlist(agent)
        if not self.is_apart:
            return
        if runs.agent_of(parent.id) and not parent.ancestors:
            await self._calls.run(trees.request(parent, "", False))  # names them
        run = " ".join([id, parent.id, *parent.ancestors])
        hint = runs.note(self.of(agent), run, self._hint_ms if claimable else "", self._hint_ms)
        *_, answer = await self._calls.run_many([*beside, hint])  # first what somebody is to look at, if all else fails
        if isinstance(answer, SessionsError):
            raise answer

    async def _enlist(self, agent: str) -> None:
        if time.monotonic() - self._enlisted.get(agent, -_ENLISTED) >= _ENLISTED:
            await self._calls.run(runs.enlist(self._agents, agent))
            self._enlisted[agent] = time.monotonic()

    async def expect(self, run: str, *, claimable: bool) -> None:
        """Before a run comes with an import: its agent is known to whoever sweeps, and the hint is there."""
        agent = runs.agent_of(run)
        if agent is not None:
            await self._enlist(agent)
            delay: runs.Delay = self._hint_ms if claimable else ""
            await self._calls.run(runs.note(self.of(agent), run, delay, self._hint_ms))

    async def welcome(self, run: str, *, claimable: bool) -> None:
        """After it came: it can be had, in the order of the hints."""
        await self._note(self.keys_of(run), f"*{self._hint_ms}" if claimable else "", _FIRST_LOOK_MS)

    async def announce(self, keys: SessionKeys, delay: runs.Delay) -> None:
        """Says when a run can be had."""
        await self._note(keys, delay, "")

    def confirm(self, keys: SessionKeys, *, is_there: bool, claimable: bool) -> None:
        """After a run was, or was not, made beside its hint: says so in the background."""
        if is_there:
            background.spawn(self._note, keys, f"*{self._hint_ms}" if claimable else "", _FIRST_LOOK_MS)
        else:
            background.spawn(self._note, keys, "-", "-")

    async def withdraw(self, offered: str, nonce: str) -> None:
        """Gives back a run that may have been claimed, as if it had not been."""
        taken, _, run = offered.partition(" ")
        keys = self.keys_of(run)
        with suppress(SessionsError):  # else its lease runs out by itself
            await self._calls.run(leases.release(keys, "", f"* {nonce}"))
            await self._note(keys, 0, "", taken)

    async def leave(self, agent: str, nonce: str, told: background.Mailbox[Told]) -> None:
        """Leaves the line; a run that was offered meanwhile is offered to the next one."""
        with suppress(SessionsError):
            await self._calls.run(runs.ask(self.of(agent), nonce, -1))
            while (said := await told.get(0)) is not None:
                if said.run:
                    taken, _, run = said.run.partition(" ")
                    await self._note(self.keys_of(run), 0, "", taken)

    def forget(self, keys: SessionKeys) -> None:
        """Takes a run that is over out of its queue, in the background; else whoever meets it does."""
        background.later(_SOON, self._note, keys, "-", "-")

    async def _note(self, keys: SessionKeys, delay: runs.Delay, look: runs.Delay, taken: str = "") -> None:
        agent = runs.agent_of(keys.id)
        if agent is not None:
            with suppress(SessionsError):
                await self._calls.run(runs.note(self.of(agent), runs.named(keys), delay, look, taken))

    def keys_of(self, run: str) -> SessionKeys:
        """The keys of a run that a queue names."""
        id, *ancestors = run.split()
        keys = session_keys(self._namespace, id)
        keys.learn(ancestors)
        self._calls.remember(id, ancestors)
        return keys

    async def ask(self, agent: str, nonce: str, wait_ms: int) -> Asked:
        """The next run, or a place in line; runs that somebody should look after are looked after."""
        wakes = self._wakes
        asked = await self._calls.run(runs.ask(self.of(agent), nonce, wait_ms, wakes.channel, wakes.counted))
        if asked.late:
            background.spawn(self._look_after_all, agent, asked.late)
        return asked

    async def claim(self, offered: str, nonce: str, owner: str, ttl_ms: int) -> tuple[SessionKeys, Claim]:
        """A run that was offered, with its lease, or why it cannot be had; its queue is told in the background."""
        taken, _, run = offered.partition(" ")
        keys = self.keys_of(run)
        claim = await self._calls.run(runs.claim(keys, nonce, owner, ttl_ms))
        background.later(_SOON, self._settle, keys, claim, taken)
        return keys, claim

    async def sweep(self, agent: str, most: int = runs.DUE) -> int:
        """Looks after an agent's runs whose time has come; says how many."""
        late = (await self._calls.run(runs.ask(self.of(agent), most=most))).late
        await self._look_after_all(agent, late)
        return len(late)

    async def agents(self) -> list[str]:
        """Agents that have, or had, runs."""
        return await self._calls.run(runs.listed(self._agents, 10_000))

    async def waiting(self, now_ms: int) -> dict[str, Waiting]:
        """What waits in the queue of each agent that has, or had, runs: two round trips."""
        agents = await self.agents()
        keys = [self.of(agent) for agent in agents]
        calls: list[Call[Any]] = [*[runs.queued(one) for one in keys], *[runs.idle(one) for one in keys]]
        found = await self._calls.get_many(calls)
        queued, idle = found[: len(agents)], found[len(agents) :]
        return {
            agent: Waiting(size, sum(until > now_ms for until in untils))
            for agent, size, untils in zip(agents, queued, idle, strict=True)
        }

    async def _look_after_all(self, agent: str, late: list[str]) -> None:
        for run in late:
            with suppress(SessionsError):  # it is looked at again in a moment, by whoever asks
                keys = self.keys_of(run)
                await self._settle(keys, await self._calls.run(runs.claim(keys)))

    async def _settle(self, keys: SessionKeys, claim: Claim, taken: str = "") -> None:
        """Tells a run's queue what was found; one that was handed out leaves it, unless it came back meanwhile."""
        if claim.verdict == "cancelled":
            with suppress(SessionsError):  # whoever looks next goes on
                await self.sweep_tree(keys)
        if claim.verdict in ("over", "cancelled"):
            self._indexes.later([keys.id, *keys.ancestors[:1]])
            await self._note(keys, "-", "-")
        elif claim.verdict == "free":
            await self._note(keys, "+", claim.look_ms)
        else:
            await self._note(keys, "-" if taken else "", claim.look_ms, taken)

    async def sweep_tree(self, keys: SessionKeys, left: Left | None = None, top: str = "") -> None:
        """Marks all members of a tree that are cancelled, or deletes those below one; 400 a round trip."""
        root = session_keys(self._namespace, trees.root_of(keys))
        named: Left = left or []
        while named or left is None:
            call = trees.sweep(root, self._namespace, named, top)
            ids = [id for _, id in named]
            if ids:
                call.ahead = [self._indexes.mark(root, ids)]
            named = left = await self._calls.run(call)
