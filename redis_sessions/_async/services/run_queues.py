"""Hand runs and turns to workers, and check those whose worker died or whose time is over."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from ..._core.commands import run_queues
from ..._core.commands.run_queues import INBOX_QUEUE, ClaimReply, DequeueReply, Outcome, When, agent_of
from ..._core.commands.trees import Member
from ..._core.protocol.keys import AgentKeys, SessionKeys
from ..._core.protocol.notifications import Notification
from ..._core.protocol.transport_errors import QueueNeeded
from ..._core.protocol.work import Work
from ...errors import ConcurrentModification, SessionsError
from ...models.trees import OPEN_STATUSES
from ..transport import tasks
from .queue_hints import FIRST_CHECK_MS, UPDATE_PAUSE_SECONDS
from .tree_members import list_members
from .work_advancer import WorkAdvancer

_INBOX_PAUSE_SECONDS = 0.05
"""The time after the end of a lease at which a sender looks whether its message is in the transcript."""
_INBOX_RETRY_MS = 5000
"""The time after which such a look is repeated, because the server did not answer."""
_OFFER_SECONDS = 0.1
"""The time in which an offer arrives that was made before the place was left."""
_RESERVED_CHECK_MS = 2000
"""The time after which a session is checked whose turn was reserved, should the sender have died before it said more."""
_RETRY_CHECK_SECONDS = 0.5
"""The time after which retried work is checked, because the queue may have heard late that it had ended before."""
_MAX_QUEUE_CHANGES = 5
"""The number of times that a send follows a session whose answering agent changes at the same time."""
_MAX_KNOWN_AGENTS = 10_000
_MAX_CHECKED_CHILDREN = 5
"""Children that a round checks by themselves."""
T = TypeVar("T")


class RunQueues(WorkAdvancer):
    """Hands out the runs and turns of one namespace, and checks those whose worker died or whose time is over."""

    def _reset(self) -> None:
        super()._reset()
        self._watched: set[str] = set()
        self._checking: set[str] = set()
        self._claim_updates: dict[str, tuple[tasks.Cancellable, str]] = {}

    # -- around a send ---------------------------------------------------------------------------------------------

    async def send(self, keys: SessionKeys, send: Callable[[str, AgentKeys | None], Awaitable[T]]) -> T:
        """Run a call that may open a turn, with the queue of the agent that answers the session.

        The script asks for the queue when the call named another one (NEED_QUEUE). Where queues have slots of their own, a
        check is reserved there before, so that no message stays unseen when the sender dies.
        """
        agent = self._answering.get(keys.id, "")
        for _ in range(_MAX_QUEUE_CHANGES):
            try:
                if not self.is_cluster:
                    named = agent or INBOX_QUEUE
                    return await send(named, self.queue_of(named))
                if agent:
                    when: When = "keep" if agent == INBOX_QUEUE else "reserve"  # no worker claims from the inbox queue
                    work = Work(keys.id, keys.ancestors)
                    await self.update(agent, work, when, self._reserved_ms, "after", _RESERVED_CHECK_MS)
                result = await send(agent, None)
                if agent not in ("", INBOX_QUEUE):
                    self.advance_later(keys)
                return result
            except QueueNeeded as needed:
                agent = needed.agent
                if agent != INBOX_QUEUE:
                    if len(self._answering) >= _MAX_KNOWN_AGENTS:
                        self._answering.clear()
                    self._answering[keys.id] = agent
        raise ConcurrentModification(session_id=keys.id, tries=_MAX_QUEUE_CHANGES)

    def watch_inbox(self, keys: SessionKeys, left_ms: int) -> None:
        """Bring the inbox of a session into its transcript, in the background, should the holder of the lease die."""
        if keys.id not in self._watched:
            self._watched.add(keys.id)
            tasks.later(left_ms / 1000 + _INBOX_PAUSE_SECONDS, self._check_inbox, keys)

    async def _check_inbox(self, keys: SessionKeys) -> None:
        self._watched.discard(keys.id)
        reply = await self.advance(keys)
        if reply is None:
            self.watch_inbox(keys, _INBOX_RETRY_MS)
        elif reply.verdict == "held" and reply.has_inbox:
            self.watch_inbox(keys, reply.check_ms)

    # -- claims ----------------------------------------------------------------------------------------------------

    async def dequeue(self, agent: str, nonce: str, wait_ms: int) -> DequeueReply:
        """Ask for the next work, or a place among the waiting workers. Work that must be checked is checked in the background."""
        queue, hub = self.queue_of(agent), self._hub
        inboxes = None if self.is_cluster else self.queue_of(INBOX_QUEUE)
        call = run_queues.dequeue(queue, "claim", nonce, wait_ms, hub.channel, hub.counts_receivers, inboxes)
        reply = await self._executor.run(call)
        await self.remove_damaged(agent, reply.damaged)
        if reply.damaged and not reply.reserved:
            reply = (await self._executor.run(call))._replace(due=reply.due, inboxes_due=reply.inboxes_due)
        if reply.due:
            self.spawn(self._check_due, agent, reply.due, nonce)
        if reply.inboxes_due:
            self.spawn(self._check_all, INBOX_QUEUE, reply.inboxes_due)
        return reply

    async def claim(
        self, agents: Sequence[str], reserved: str, nonce: str, owner: str, ttl_ms: int, *, source: str | None
    ) -> tuple[SessionKeys, ClaimReply]:
        """Claim work that was reserved ('<time> <work>'). The queue hears of it in the background.

        Args:
            agents: the agents of the worker.
            source: the agent whose queue had the work. None if a notification offered the work.
        """
        reserved_until, _, work = reserved.partition(" ")
        keys, hub = self.keys_of(work), self._hub
        call = run_queues.claim(keys, nonce, owner, ttl_ms, agents, hub.channel, hub.counts_receivers)
        reply = await self._executor.run(call)
        origin = (source or self.agent_of(keys, reply), work)
        if reply.verdict == "unsettled":
            self.advance_later(keys, origin)
        else:
            update = tasks.later(UPDATE_PAUSE_SECONDS, self._apply_claim, nonce, keys, reply, origin, reserved_until)
            self._claim_updates[nonce] = update, reserved_until
        return keys, reply

    async def _apply_claim(
        self, nonce: str, keys: SessionKeys, reply: ClaimReply, origin: tuple[str, str], reserved_until: str
    ) -> None:
        self._claim_updates.pop(nonce, None)
        await self._apply_verdict(keys, reply, origin, reserved_until)

    def forget_claim(self, nonce: str) -> str:
        """Leave out what the queue has not heard of a claim, because it hears the end of the work instead.

        Return the time until which the work was reserved, or '' if the queue has heard of the claim.
        """
        update, reserved_until = self._claim_updates.pop(nonce, (None, ""))
        if update is not None:
            update.cancel()
        return reserved_until

    async def unclaim(self, agents: Sequence[str], reserved: str, nonce: str, delay_ms: int = 0) -> None:
        """Give back work that may have been claimed, to be offered in `delay_ms`."""
        _, _, work = reserved.partition(" ")
        with suppress(SessionsError):  # else its lease runs out by itself
            await self._executor.run(
                self._advance_call(agents[0], self.keys_of(work), nonce, "released", delay_ms=delay_ms)
            )
        await self.requeue_reserved(reserved, agents, delay_ms)

    async def stop_waiting(
        self, places: Sequence[str], nonce: str, queue: tasks.Queue[Notification], agents: Sequence[str]
    ) -> None:
        """Leave the places among the waiting workers. Work that was offered before goes to the next worker."""
        for agent in places:
            with suppress(SessionsError):
                await self._executor.run(run_queues.dequeue(self.queue_of(agent), "leave", nonce))
        while (notification := await queue.get(_OFFER_SECONDS)) is not None:
            if notification.reserved:
                await self.requeue_reserved(notification.reserved, agents)

    async def requeue_reserved(self, reserved: str, agents: Sequence[str], delay_ms: int = 0) -> None:
        """Make work available, in `delay_ms`, that was reserved for a worker that does not take it."""
        reserved_until, _, work = reserved.partition(" ")
        for agent in agents:  # the work is in one of the queues, and the others do not know the reservation
            await self.update(agent, work, "after", delay_ms, reserved_until=reserved_until)

    async def give_back(
        self, agent: str, keys: SessionKeys, nonce: str, outcome: Outcome, *, delay_ms: int = 0, **details: Any
    ) -> ClaimReply:
        """Give claimed work back, and tell its queue. `details` are those of `advance`."""
        call = self._advance_call(agent, keys, nonce, outcome, delay_ms=delay_ms, **details)
        reply = await self._executor.run(call)
        reserved_until = self.forget_claim(nonce)
        if reply.is_scheduled:
            await self._apply_verdict(keys, reply, None)
        elif reply.verdict == "idle":  # a message may open the next turn now: the queue keeps what it hears of that
            when: When = "remove" if reserved_until else "keep"
            await self.update(agent, self._work_of(keys, reply), when, reserved_until=reserved_until)
        elif reply.verdict == "waiting" and delay_ms > 0 and outcome != "parked":
            await self.update(agent, self._work_of(keys, reply), "after", delay_ms, "after", delay_ms + FIRST_CHECK_MS)
        else:
            await self._apply_verdict(keys, reply, None, is_handed_back=True)
        return reply

    # -- recovery --------------------------------------------------------------------------------------------------

    async def recover(self, *agents: str) -> int:
        """Check the work of agents whose time has come, up to 20 for each. Return how many."""
        checked = 0
        for agent in agents:
            reply = await self._executor.run(run_queues.dequeue(self.queue_of(agent), "check"))
            await self.remove_damaged(agent, reply.damaged)
            await self._check_all(agent, reply.due)
            checked += len(reply.due)
        return checked

    async def _check_due(self, agent: str, due: list[str], nonce: str) -> None:
        """Check work, and let the waiting worker ask when the next check is due."""
        await self._check_all(agent, due)
        self._hub.wake(nonce)

    async def _check_all(self, agent: str, due: list[str]) -> None:
        due = [
            work for work in due if work not in self._checking
        ]  # a server that does not answer keeps a check for long
        self._checking.update(due)
        for work in due:
            try:
                await self._check(self.keys_of(work), (agent, work))
            finally:
                self._checking.discard(work)

    async def _check(self, keys: SessionKeys, source: tuple[str, str] | None = None) -> None:
        """Check a session, and the children that a parked run waits for. See `advance`."""
        reply = await self.advance(keys, source)
        if reply is not None and reply.verdict == "parked":
            with suppress(SessionsError):
                await self.recover_children(keys, (await list_members(self._executor, keys, "")).members)

    async def recover_children(self, keys: SessionKeys, members: Sequence[Member]) -> None:
        """Check the work of the agents of a session's children, should they have no worker of their own.

        In a cluster the node of a queue can lose what the session's node kept. So some children are checked by themselves, too.
        """
        active = [member for member in members if member.status in OPEN_STATUSES]
        await self.recover(*{agent for member in active if (agent := agent_of(member.id))})
        if self.is_cluster:
            for member in random.sample(active, min(len(active), _MAX_CHECKED_CHILDREN)):
                await self._check(self.keys_of(Work(member.id, (keys.id, *keys.ancestors))))

    def remove_ended(self, keys: SessionKeys) -> None:
        """Take the work of a session that has ended out of its queue, in the background."""
        if keys.ancestors or keys.id in self._answering:
            tasks.later(UPDATE_PAUSE_SECONDS, self._advance, keys, None)

    async def retry(self, keys: SessionKeys, incarnation: str, tree_limits: str) -> None:
        """Make work that failed available again. `tree_limits` are those of a tree that has none of its own."""
        agent = agent_of(keys.id)
        if agent is not None:  # else the next message lets the queue hear of the turn
            await self.update(agent, Work(keys.id, keys.ancestors), "keep", 0, "after", FIRST_CHECK_MS)
        call = run_queues.retry(keys, incarnation, tree_limits)
        call.hints = await self._indexer.relisting(keys, {})
        reply = await self._executor.run(call)
        await self._apply_verdict(keys, reply, None)
        tasks.later(_RETRY_CHECK_SECONDS, self._advance, keys, None)
