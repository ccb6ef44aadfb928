"""The queues in which runs wait for workers of their agent, and the recovery of runs whose worker died or whose time is over.

A queue is a hint: the run's own session decides what a claim gets. The hint is written before its run is created, and removed
after the run's end.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from ..._core.commands import leases, run_queues, sessions, trees
from ..._core.commands.run_queues import Check, ClaimReply, DequeueReply, QueueSizes, When
from ..._core.commands.sessions import Members
from ..._core.protocol.call import Call
from ..._core.protocol.keys import AgentKeys, SessionKeys, agent_keys, index_keys, session_keys
from ..._core.protocol.notifications import Notification
from ...errors import LimitExceeded, SessionsError
from ..transport import tasks
from ..transport.executor import Executor
from ..transport.notifications import NotificationHub
from .indexer import Indexer

_REGISTERED_SECONDS = 3600.0
"""The time for which a process relies on its registration of an agent."""
_UPDATE_PAUSE_SECONDS = 0.02
"""The pause before a queue hears what changes nothing for a worker that waits."""
_FIRST_CHECK_MS = 1000
"""The time after which a run that was created on another server than its hint is checked, to learn how long it lives."""
_MAX_AGENTS = 10_000


class RunQueues:
    """The run queues of one namespace."""

    def __init__(self, executor: Executor, hub: NotificationHub, indexer: Indexer, namespace: str) -> None:
        self._executor = executor
        self._hub = hub
        self._indexer = indexer
        self._namespace = namespace
        self._agents = index_keys(namespace, "agents")
        self._reserved_ms = round(max(20.0, 2 * executor.retry_for) * 1000)  # longer than a spawn can take
        self._registered: dict[str, float] = {}

    def queue_of(self, agent: str) -> AgentKeys:
        """Return the keys of an agent's queue."""
        return agent_keys(self._namespace, agent)

    @property
    def is_separate(self) -> bool:
        """True if queues can be on other servers than the sessions, so that no script can write both (cluster)."""
        return not self._hub.counts_receivers

    def keys_of(self, run: str) -> SessionKeys:
        """Return the keys of a run that a queue names: '<id> <parent> … <root>'."""
        id, *ancestors = run.split()
        keys = session_keys(self._namespace, id)
        keys.set_ancestors(ancestors)
        self._executor.remember_ancestors(id, ancestors)
        return keys

    # -- around a spawn --------------------------------------------------------------------------------------------

    async def reserve(
        self, agent: str, parent: SessionKeys, id: str, *, claimable: bool, hints: Sequence[Call[Any]]
    ) -> None:
        """Prepare a spawn: register the agent, and write the hint where the queue is separate. Send other hints with it."""
        await self._register_agent(agent)
        if not self.is_separate:
            return
        if run_queues.agent_of(parent.id) and not parent.ancestors:
            await self._executor.run(trees.read_cancel(parent, ""))  # learns the parent's ancestors
        run = " ".join([id, parent.id, *parent.ancestors])
        hint = self._reservation(agent, run, claimable=claimable)
        *_, result = await self._executor.run_many([*hints, hint])  # the check of the index entry comes first
        if isinstance(result, SessionsError):
            raise result

    def confirm_spawn(self, keys: SessionKeys, *, is_created: bool, claimable: bool) -> None:
        """Turn the hint of a reservation into an available run, or remove it, in the background."""
        if is_created:
            tasks.spawn(self._confirm, keys, claimable)
        else:
            tasks.spawn(self._remove, keys)

    async def reserve_import(self, run: str, *, claimable: bool) -> None:
        """Prepare the import of a run: register the agent, and write the hint."""
        agent = run_queues.agent_of(run)
        if agent is not None:
            await self._register_agent(agent)
            await self._executor.run(self._reservation(agent, run, claimable=claimable))

    async def confirm_import(self, run: str, *, claimable: bool) -> None:
        """Make an imported run available, in the order of the reservations."""
        await self._confirm(self.keys_of(run), claimable)

    async def _register_agent(self, agent: str) -> None:
        if time.monotonic() - self._registered.get(agent, -_REGISTERED_SECONDS) >= _REGISTERED_SECONDS:
            await self._executor.run(run_queues.register_agent(self._agents, agent))
            self._registered[agent] = time.monotonic()

    def _reservation(self, agent: str, run: str, *, claimable: bool) -> Call[None]:
        when: When = "after" if claimable else "keep"
        return run_queues.schedule(
            self.queue_of(agent), run, when, self._reserved_ms, check="after", check_ms=self._reserved_ms
        )

    async def _confirm(self, keys: SessionKeys, claimable: bool) -> None:
        when: When = "confirm" if claimable else "keep"
        await self._update(keys, when, self._reserved_ms, check="after", check_ms=_FIRST_CHECK_MS)

    async def _remove(self, keys: SessionKeys) -> None:
        await self._update(keys, "remove", check="remove")

    # -- claims ----------------------------------------------------------------------------------------------------

    async def dequeue(self, agent: str, nonce: str, wait_ms: int) -> DequeueReply:
        """Ask for the next run, or a place among the waiting workers. Runs that must be checked are checked in the background."""
        hub = self._hub
        reply = await self._executor.run(
            run_queues.dequeue(self.queue_of(agent), "claim", nonce, wait_ms, hub.channel, hub.counts_receivers)
        )
        if reply.due:
            tasks.spawn(self._check_all, reply.due)
        return reply

    async def claim(self, reserved: str, nonce: str, owner: str, ttl_ms: int) -> tuple[SessionKeys, ClaimReply]:
        """Claim a run that was reserved ('<time> <run>'). The queue hears of it in the background."""
        reserved_until, _, run = reserved.partition(" ")
        keys = self.keys_of(run)
        reply = await self._executor.run(run_queues.claim(keys, nonce, owner, ttl_ms))
        if reply.verdict == "finished":
            tasks.spawn(self._check, keys)
        else:
            tasks.later(_UPDATE_PAUSE_SECONDS, self._apply_verdict, keys, reply, reserved_until)
        return keys, reply

    async def unclaim(self, reserved: str, nonce: str) -> None:
        """Give back a run that may have been claimed, as if it had not been."""
        reserved_until, _, run = reserved.partition(" ")
        keys = self.keys_of(run)
        with suppress(SessionsError):  # else its lease runs out by itself
            token = await self._executor.run(run_queues.unclaim(keys, nonce, secrets.token_hex(8)))
            if token:
                await self._executor.run(leases.release(keys, "", token))
            await self._update(keys, "after", reserved_until=reserved_until)

    async def stop_waiting(self, agent: str, nonce: str, queue: tasks.Queue[Notification]) -> None:
        """Leave the place among the waiting workers. A run that was reserved since goes to the next worker."""
        with suppress(SessionsError):
            await self._executor.run(run_queues.dequeue(self.queue_of(agent), "leave", nonce))
            while (notification := await queue.get(0)) is not None:
                if notification.run:
                    reserved_until, _, run = notification.run.partition(" ")
                    await self._update(self.keys_of(run), "after", reserved_until=reserved_until)

    async def schedule(self, keys: SessionKeys, delay_ms: int) -> None:
        """Make a run available after a delay."""
        await self._update(keys, "after", delay_ms)

    def remove(self, keys: SessionKeys) -> None:
        """Take a run that has ended out of its queue, in the background, else the next worker that meets it does."""
        tasks.later(_UPDATE_PAUSE_SECONDS, self._remove, keys)

    async def _update(
        self,
        keys: SessionKeys,
        when: When,
        delay_ms: int = 0,
        *,
        check: Check = "keep",
        check_ms: int = 0,
        reserved_until: str = "",
    ) -> None:
        agent = run_queues.agent_of(keys.id)
        if agent is not None:
            with suppress(SessionsError):
                await self._executor.run(
                    run_queues.schedule(
                        self.queue_of(agent), run_queues.run_of(keys), when, delay_ms, check=check,
                        check_ms=check_ms, reserved_until=reserved_until,
                    )
                )  # fmt: skip

    # -- recovery --------------------------------------------------------------------------------------------------

    async def recover(self, agent: str) -> int:
        """Check the runs of an agent whose time has come, up to 20. Return how many."""
        due = (await self._executor.run(run_queues.dequeue(self.queue_of(agent), "check"))).due
        await self._check_all(due)
        return len(due)

    async def agents(self) -> list[str]:
        """Return the agents that have, or had, runs."""
        return await self._executor.run(run_queues.list_agents(self._agents, _MAX_AGENTS))

    async def queue_sizes(self, now_ms: int) -> dict[str, QueueSizes]:
        """Return what waits in the queue of each agent. Two round trips."""
        agents = await self.agents()
        queues = [self.queue_of(agent) for agent in agents]
        calls: list[Call[Any]] = [run_queues.count_runs(one) for one in queues]
        calls += [run_queues.list_workers(one) for one in queues]
        found = await self._executor.get_many(calls)
        runs, workers = found[: len(agents)], found[len(agents) :]
        return {
            agent: QueueSizes(count, sum(worker.until_ms > now_ms for worker in waiting))
            for agent, count, waiting in zip(agents, runs, workers, strict=True)
        }

    async def _check_all(self, due: list[str]) -> None:
        for run in due:
            await self._check(self.keys_of(run))

    async def _check(self, keys: SessionKeys) -> None:
        with suppress(SessionsError):  # the run is checked again in a moment
            await self._apply_verdict(keys, await self._executor.run(run_queues.recover(keys)))

    async def _apply_verdict(self, keys: SessionKeys, reply: ClaimReply, reserved_until: str = "") -> None:
        """Tell a run's queue what the run's session said. A run that was handed out leaves it, unless it came back since."""
        if reply.verdict == "cancelled":
            with suppress(SessionsError):  # the next check goes on
                await self.finalize_members(keys)
        if reply.verdict in ("over", "cancelled"):
            self._indexer.check_later([keys.id, *keys.ancestors[:1]])
            await self._remove(keys)
        elif reply.verdict == "free":
            await self._update(keys, "now", check="after", check_ms=reply.check_ms)
        else:
            when: When = "remove" if reserved_until else "keep"
            await self._update(keys, when, check="after", check_ms=reply.check_ms, reserved_until=reserved_until)

    async def finalize_members(self, keys: SessionKeys, members: Members | None = None, top: str = "") -> None:
        """Mark all cancelled members of a tree, or delete those below `top`. 400 members a round trip."""
        root = session_keys(self._namespace, trees.root_id(keys))
        left: Members = members or []
        while left or members is None:
            call = trees.finalize_members(root, self._namespace, left, top)
            ids = [id for _, id in left]
            if ids:
                call.hints = [self._indexer.mark_dirty(root, ids)]
            left = members = await self._executor.run(call)

    async def finish_limit_end(self, keys: SessionKeys, incarnation: str, problem: LimitExceeded) -> None:
        """Apply the effects of an end that a limit caused. If this fails, the recovery of the run applies them."""
        if problem.action == "end_session":
            with suppress(SessionsError):
                _, members = await self._executor.run(sessions.finish_limit_end(keys, incarnation))
                if members:
                    await self.finalize_members(keys, members)
