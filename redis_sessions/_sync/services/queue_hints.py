# Generated from _async/services/queue_hints.py by tools/mirror.py; edit that file.
"""The queues in which runs and turns wait for workers of their agent.

A queue is a hint: the session decides what a claim gets. The hint is written before its run is created, and removed after the
end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from ..._core.commands import run_queues, trees
from ..._core.commands.run_queues import INBOX_QUEUE, Check, When, agent_of
from ..._core.protocol.call import Call
from ..._core.protocol.keys import AgentKeys, SessionKeys, agent_keys, index_keys, session_keys
from ..._core.protocol.work import Work
from ..._fork import run_in_child
from ..._log_events import QUEUE_REPAIRED
from ...errors import SessionsError
from ..transport import tasks
from ..transport.executor import Executor
from ..transport.notifications import NotificationHub
from .registered_names import RegisteredNames

_REGISTERED_SECONDS = 3600.0
"""The time for which a process relies on its registration of an agent."""
UPDATE_PAUSE_SECONDS = 0.02
"""The pause before a queue hears what changes nothing for a worker that waits."""
FIRST_CHECK_MS = 1000
"""The time after which a run that was created on another server than its hint is checked, to learn how long it lives."""
_MAX_AGENTS = 10_000


class QueueHints:
    """Writes the queues of one namespace."""

    def __init__(self, executor: Executor, hub: NotificationHub, namespace: str) -> None:
        self._executor = executor
        self._hub = hub
        self._namespace = namespace
        self._agents = index_keys(namespace, "agents")
        self._reserved_ms = round(max(20.0, 2 * executor.retry_for) * 1000)  # longer than a spawn can take
        self._registered = RegisteredNames(_REGISTERED_SECONDS)
        self._reset()
        run_in_child(self._reset)

    def _reset(self) -> None:
        self._background: set[object] = set()

    def queue_of(self, agent: str) -> AgentKeys:
        """Return the keys of an agent's queue."""
        return agent_keys(self._namespace, agent)

    @property
    def is_checking(self) -> bool:
        """True if work is checked in the background, so that a queue may not have all work that this process made available."""
        return bool(self._background)

    def spawn(self, check: Callable[..., None], *arguments: Any) -> None:
        """Check work in the background."""
        token = object()
        self._background.add(token)
        tasks.spawn(self._run_check, token, check, arguments)

    def _run_check(self, token: object, check: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        try:
            check(*arguments)
        finally:
            self._background.discard(token)

    @property
    def is_cluster(self) -> bool:
        """True on a cluster, where no script can write both a queue and a session of another slot."""
        return self._hub.is_cluster

    def keys_of(self, work: str | Work) -> SessionKeys:
        """Return the keys of work that a queue names."""
        named = Work.parse(work) if isinstance(work, str) else work
        keys = session_keys(self._namespace, named.id)
        keys.set_ancestors(named.ancestors)
        if named.ancestors:
            self._executor.remember_ancestors(named.id, named.ancestors)
        return keys

    def reserve(
        self, agent: str, parent: SessionKeys, work: Work, *, claimable: bool, hints: Sequence[Call[Any]]
    ) -> None:
        """Prepare a spawn: register the agent, and write the hint if this is a cluster. Send other hints with it."""
        self.register_agent(agent)
        if not self.is_cluster:
            return
        if agent_of(parent.id) and not parent.ancestors:
            self._executor.run(trees.read_cancel(parent, ""))  # learns the parent's ancestors
        named = work._replace(ancestors=(parent.id, *parent.ancestors))
        hint = self._reservation(agent, str(named), claimable=claimable)
        *_, result = self._executor.run_many([*hints, hint])  # the check of the index entry comes first
        if isinstance(result, SessionsError):
            raise result

    def confirm_spawn(self, agent: str, work: Work, delay_ms: int, *, is_created: bool, claimable: bool) -> None:
        """Turn the hint of a reservation into available work, or remove it, in the background."""
        if not is_created:
            tasks.spawn(self.update, agent, work, "remove", 0, "remove")
        elif delay_ms > 0:
            tasks.spawn(self.update, agent, work, "after", delay_ms, "after", FIRST_CHECK_MS)
        else:
            tasks.spawn(self._confirm, agent, work, claimable)

    def reserve_import(self, agent: str, work: str, *, claimable: bool) -> None:
        """Prepare the import of work: register the agent, and write the hint."""
        if agent != INBOX_QUEUE:
            self.register_agent(agent)
        self._executor.run(self._reservation(agent, work, claimable=claimable))

    def confirm_import(self, agent: str, work: str, *, claimable: bool) -> None:
        """Make imported work available, in the order of the reservations."""
        self._confirm(agent, Work.parse(work), claimable)

    def register_agent(self, agent: str) -> None:
        """Register an agent, so that `recover` checks its work. One round trip an hour."""
        if agent not in self._registered:
            self._executor.run(run_queues.register_agent(self._agents, agent, self._executor.bounds.agents))
            self._registered.add(agent)

    def _reservation(self, agent: str, work: str, *, claimable: bool) -> Call[None]:
        when: When = "after" if claimable else "keep"
        return run_queues.schedule(
            self.queue_of(agent), work, when, self._reserved_ms, check="after", check_ms=self._reserved_ms
        )

    def _confirm(self, agent: str, work: Work, claimable: bool) -> None:
        when: When = "confirm" if claimable else "keep"
        self.update(agent, work, when, self._reserved_ms, "after", FIRST_CHECK_MS)

    def remove(self, agent: str, work: Work) -> None:
        """Take work that has ended out of its queue, in the background, else the next worker that meets it does."""
        tasks.later(UPDATE_PAUSE_SECONDS, self.update, agent, work, "remove", 0, "remove")

    def remove_damaged(self, agent: str, members: Sequence[bytes]) -> None:
        """Take members out of a queue that name no session."""
        for one in members:
            QUEUE_REPAIRED.log(
                "a member of the queue of agent %s names no session, and is removed: %s",
                agent,
                repr(one[:100]),
                agent_id=agent,
            )
            self.update(agent, one, "remove", check="remove")

    def set_bound(self, agent: str, max_running: int | None) -> None:
        """Bound how much work of an agent runs at once in the whole fleet."""
        self._executor.run(run_queues.set_bound(self.queue_of(agent), max_running))

    def update(
        self,
        agent: str,
        work: str | bytes | Work,
        when: When,
        delay_ms: int = 0,
        check: Check = "keep",
        check_ms: int = 0,
        *,
        reserved_until: str = "",
        running_ms: int = 0,
    ) -> None:
        member = str(work) if isinstance(work, Work) else work
        with suppress(SessionsError):
            self._executor.run(
                run_queues.schedule(
                    self.queue_of(agent), member, when, delay_ms, check=check, check_ms=check_ms,
                    reserved_until=reserved_until, running_ms=running_ms,
                )
            )  # fmt: skip

    def agents(self) -> list[str]:
        """Return the agents that have, or had, runs or turns, and the queue of the inboxes of other sessions."""
        return [*self._executor.run(run_queues.list_agents(self._agents, _MAX_AGENTS)), INBOX_QUEUE]
